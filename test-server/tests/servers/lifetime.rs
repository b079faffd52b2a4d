//! Servers that are stopped, killed, paused and dropped.

use std::time::Duration;

use server_test::server_test;
use test_server::ServerKind;

use super::owner::has_ended;
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
