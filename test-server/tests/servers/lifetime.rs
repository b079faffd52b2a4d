//! Servers that are stopped, killed, paused and dropped.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use server_test::server_test;
use test_server::ServerKind;

use super::owner::has_ended;
use super::query::{BUSY, Session};
use super::{assert_answers, assert_silent, start};

#[server_test(own_server)]
fn stopped_server_starts_again(kind: ServerKind) {
    let server = start(kind);
    let (port, pid) = (server.port(), server.pid());
    server.stop();
    assert_eq!(server.pid(), None);
    assert_silent(&server);
    assert!(server.log().contains(goodbye(kind)), "{}", server.log());
    // A second time has no effect.
    server.stop();

    server
        .start_again()
        .unwrap_or_else(|error| panic!("{error}"));
    assert_answers(&server);
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
}

#[server_test(own_server)]
fn paused_server_restarts(kind: ServerKind) {
    let server = start(kind);
    let pid = server.pid();
    server.pause();
    server.restart().unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(server.pid(), pid);
    assert_answers(&server);
}

#[server_test(own_server)]
fn killed_server_starts_again(kind: ServerKind) {
    let server = start(kind);
    let pid = server.pid().expect("a process id");
    server.kill();
    assert!(has_ended(pid));
    assert_silent(&server);
    assert!(!server.log().contains(goodbye(kind)), "{}", server.log());

    server
        .start_again()
        .unwrap_or_else(|error| panic!("{error}"));
    assert_answers(&server);
}

#[server_test(own_server)]
fn paused_server_answers_after_resume(kind: ServerKind) {
    let server = start(kind);
    server.pause();
    let error = server
        .handshake(Duration::from_millis(300))
        .expect_err("silence");
    // The kernel accepts the connection, and the server sends no handshake.
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
    server.resume();
    assert_answers(&server);
}

/// What the server logs after an orderly shutdown.
fn goodbye(kind: ServerKind) -> &'static str {
    match kind {
        ServerKind::Mariadb => "Shutdown complete",
        ServerKind::Mysql => "Shutdown complete (mysqld",
        ServerKind::Postgres | ServerKind::Postgres18 => "database system is shut down",
    }
}

/// A session is a process in a session of its own, which no signal to the server's group reaches.
#[server_test(own_server, postgres, postgres18)]
fn sessions_pause_and_end_with_their_server(kind: ServerKind) {
    let server = start(kind);
    let connect = || {
        let stream = TcpStream::connect(server.address()).expect("to connect");
        let timeout = Some(Duration::from_millis(300));
        stream.set_read_timeout(timeout).expect("a timeout");
        Session::begin(stream)
    };
    let (mut session, mut busy) = (connect(), connect());
    let pid = |session: &mut Session| -> u32 {
        let pid = session.query("SELECT pg_backend_pid()");
        pid.parse().expect("a number")
    };
    let pids = [pid(&mut session), pid(&mut busy)];
    server.pause();
    session.send("SELECT 1");
    let error = session.rows().expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    server.resume();
    assert_eq!(session.rows().expect("an answer"), ["1"]);

    // It does not notice the end of its server before the loop ends.
    busy.send(BUSY);
    server.kill();
    assert!(pids.into_iter().all(has_ended));
    session.rows().expect_err("the session has ended");
    server
        .start_again()
        .unwrap_or_else(|error| panic!("{error}"));

    // An open session does not delay the server's end.
    let mut open = connect();
    let pids = [pid(&mut open)];
    let since = Instant::now();
    server.stop();
    assert!(since.elapsed() < Duration::from_secs(10));
    assert!(pids.into_iter().all(has_ended));
}

#[server_test(own_server)]
fn dropped_server_leaves_nothing(kind: ServerKind) {
    let server = start(kind);
    let pid = server.pid().expect("a process id");
    let directory = server.directory().to_owned();
    assert!(directory.exists());
    drop(server);
    assert!(has_ended(pid));
    assert!(!directory.exists(), "{}", directory.display());
}
