//! Servers that start, one and several at a time.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread;

use server_test::server_test;
use test_server::{Server, ServerKind, StartError};

use super::query::Session;
use super::{assert_answers, scheme, start};

#[server_test(own_server)]
fn started_server_answers(kind: ServerKind) {
    let server = start(kind);
    assert_answers(&server);
    assert_eq!(server.kind(), kind);
    let scheme = scheme(kind);
    let expected = format!("{scheme}://root@127.0.0.1:{}/app", server.port());
    assert_eq!(server.url("app"), expected);
    let found = ServerKind::at_url(&server.url("")).expect("a kind");
    // The system's PostgreSQL may be a newer one.
    assert!(found == kind || found == ServerKind::Postgres18, "{found}");
    UnixStream::connect(server.socket_path()).expect("a Unix socket");
    let ready = match kind.is_postgres() {
        true => "ready to accept connections",
        false => "ready for connections",
    };
    assert!(server.log().contains(ready), "{}", server.log());
}

#[server_test(own_server)]
fn two_servers_run_in_parallel(kind: ServerKind) {
    let first = start(kind);
    let second = start(kind);
    assert_ne!(first.port(), second.port());
    assert_ne!(first.directory(), second.directory());
    first.kill();
    assert_answers(&second);
}

#[server_test(own_server)]
fn four_servers_start_at_once(kind: ServerKind) {
    let servers: Vec<Server> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| start(kind))).collect();
        starts
            .into_iter()
            .map(|start| start.join().expect("a server"))
            .collect()
    });
    let ports: HashSet<_> = servers.iter().map(Server::port).collect();
    assert_eq!(ports.len(), 4);
    servers.iter().for_each(assert_answers);
}

#[server_test(own_server)]
fn shared_server_is_one(kind: ServerKind) {
    let (first, second) = (Server::shared(kind), Server::shared(kind));
    assert!(ptr::eq(first, second));
    assert_answers(first);
}

#[server_test(own_server)]
fn failed_start_reports_the_log(kind: ServerKind) {
    let error = Server::start_with(kind, &["--no-such-flag"])
        .err()
        .expect("a refusal");
    assert!(matches!(error, StartError::Exited { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("ended before it was ready"), "{message}");
    // The server wrote this.
    let refusal = match kind.is_postgres() {
        true => "--no-such-flag requires a value",
        false => "unknown option '--no-such-flag'",
    };
    assert!(message.contains(refusal), "{message}");
}

#[server_test(own_server)]
fn taken_port_is_recognised(kind: ServerKind) {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("its number").port();
    // The last flag applies, so each attempt uses the taken port.
    let error = Server::start_with(kind, &[&format!("--port={port}")])
        .err()
        .expect("a refusal");
    assert!(matches!(error, StartError::PortTaken { .. }), "{error:?}");
}

/// As at most servers of `DATABASE_URL`.
#[server_test(own_server, postgres, postgres18)]
fn url_with_a_password_is_accepted(kind: ServerKind) {
    let server = start(kind);
    let stream = TcpStream::connect(server.address()).expect("to connect");
    let mut session = Session::begin(stream);
    session.send("CREATE USER \"an editor\" PASSWORD 'p@ss: 0'");
    session.rows().expect("an account");
    for method in ["scram-sha-256", "password"] {
        let rules = format!("local all all trust\nhost all all 127.0.0.1/32 {method}\n");
        fs::write(server.directory().join("data/pg_hba.conf"), rules).expect("to write");
        server.restart().unwrap_or_else(|error| panic!("{error}"));
        let kind_for = |account: &str| {
            let url = format!("postgres://{account}@{}/postgres", server.address());
            ServerKind::at_url(&url)
        };
        let found = kind_for("an%20editor:p%40ss%3A%200");
        assert!(
            found.as_ref().is_ok_and(|found| found.is_postgres()),
            "{method}: {found:?}"
        );
        assert!(kind_for("an%20editor:wrong").is_err(), "{method}");
        let refused = kind_for("an%20editor").expect_err("no password");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{method}");
    }
}
