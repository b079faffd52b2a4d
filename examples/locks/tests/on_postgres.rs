//! The program on PostgreSQL, as a user runs it.

use std::process::Command;

use test_server::{Server, kinds_under_test};

#[test]
fn server_without_locks_is_reported_as_such() {
    for kind in kinds_under_test() {
        if !kind.is_postgres() {
            continue;
        }
        // No other test holds locks there.
        let server = Server::start(kind).expect("a server");
        let output = Command::new(env!("CARGO_BIN_EXE_locks"))
            .env("DATABASE_URL", server.url(""))
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{kind}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(text.trim(), "no lock is held", "{kind}");
    }
}
