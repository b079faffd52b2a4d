//! Stopping, killing, freezing, dropping.

use std::time::Duration;

use test_server::Kind;

use super::owner::has_ended;
use super::{assert_answers, assert_silent, start};

pub(crate) fn stop_and_start_again(kind: Kind) {
    let server = start(kind);
    let (port, pid) = (server.port(), server.pid());
    server.stop();
    assert_eq!(server.pid(), None);
    assert_silent(&server);
    let goodbye = match kind {
        Kind::Mariadb => "Shutdown complete",
        Kind::Mysql => "Shutdown complete (mysqld",
    };
    assert!(server.log().contains(goodbye), "{}", server.log());
    // A second time has no effect.
    server.stop();

    server
        .start_again()
        .unwrap_or_else(|error| panic!("{error}"));
    assert_answers(&server);
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
}

pub(crate) fn restart_and_stop_when_paused(kind: Kind) {
    let server = start(kind);
    let pid = server.pid();
    server.pause();
    server.restart().unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(server.pid(), pid);
    assert_answers(&server);
}

pub(crate) fn kill_and_start_again(kind: Kind) {
    let server = start(kind);
    let pid = server.pid().expect("a process id");
    server.kill();
    assert!(has_ended(pid));
    assert_silent(&server);
    assert!(
        !server.log().contains("Shutdown complete"),
        "{}",
        server.log()
    );

    server
        .start_again()
        .unwrap_or_else(|error| panic!("{error}"));
    assert_answers(&server);
}

pub(crate) fn pause_and_resume(kind: Kind) {
    let server = start(kind);
    server.pause();
    let error = server
        .greeting(Duration::from_millis(300))
        .expect_err("silence");
    // The kernel still takes the connection; nobody greets.
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
    server.resume();
    assert_answers(&server);
}

pub(crate) fn drop_leaves_nothing(kind: Kind) {
    let server = start(kind);
    let pid = server.pid().expect("a process id");
    let directory = server.directory().to_owned();
    assert!(directory.exists());
    drop(server);
    assert!(has_ended(pid));
    assert!(!directory.exists(), "{}", directory.display());
}
