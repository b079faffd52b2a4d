//! A server behind a proxy.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use server_test::server_test;
use test_server::{Proxy, Server, ServerKind};

use super::query::STARTUP;
use super::{assert_answers, scheme, start};

#[server_test(own_server)]
fn server_answers_through_a_proxy(kind: ServerKind) {
    let server = start(kind);
    let proxy = proxy(&server);
    let delay = Duration::from_millis(100);
    proxy.set_delay(delay);
    let since = Instant::now();
    let (mut client, handshake) = connect(&proxy, kind);
    assert!(since.elapsed() >= delay);
    let version = server
        .handshake(Duration::from_secs(10))
        .expect("a version");
    assert!(handshake.contains(&version), "{handshake} has no {version}");

    assert_eq!(proxy.cut(), 1);
    let error = read(&mut client).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    assert_answers(&server);
}

#[server_test(own_server)]
fn proxy_outlives_the_server(kind: ServerKind) {
    let server = start(kind);
    let proxy = proxy(&server);
    let (mut client, _) = connect(&proxy, kind);
    server.kill();
    // The kernel ends the connection in good order unless bytes were left unread.
    match read(&mut client) {
        Ok(bytes) => assert_eq!(bytes, []),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }

    server
        .start_again()
        .unwrap_or_else(|error| panic!("{error}"));
    connect(&proxy, kind);
}

#[server_test(own_server)]
fn url_leads_through_the_proxy(kind: ServerKind) {
    let server = start(kind);
    let proxy = proxy(&server);
    let scheme = scheme(kind);
    let expected = format!("{scheme}://root@127.0.0.1:{}/app", proxy.port());
    assert_eq!(server.url_through(&proxy, "app"), expected);

    let elsewhere = Proxy::start((Ipv4Addr::LOCALHOST, proxy.port()).into()).expect("a proxy");
    let refused = catch_unwind(AssertUnwindSafe(|| server.url_through(&elsewhere, "app")));
    assert!(refused.is_err());
}

fn proxy(server: &Server) -> Proxy {
    Proxy::start(server.address()).expect("a proxy")
}

/// A connection, and what the server sends first.
fn connect(proxy: &Proxy, kind: ServerKind) -> (TcpStream, String) {
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect("to connect");
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    if kind.is_postgres() {
        client.write_all(STARTUP).expect("to write");
    }
    let handshake = read(&mut client).expect("a handshake");
    (client, String::from_utf8_lossy(&handshake).into_owned())
}

fn read(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1024];
    let length = client.read(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}
