//! The program on PostgreSQL, as a user runs it.

use std::process::Command;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use test_server::{Server, kinds_under_test};

fn output(server: &Server) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_locks"))
        .env("DATABASE_URL", server.url(""))
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn locks_are_listed_by_their_keys() {
    for kind in kinds_under_test() {
        if !kind.is_postgres() {
            continue;
        }
        // No other test holds locks there.
        let server = Server::start(kind).expect("a server");
        assert_eq!(output(&server).trim(), "no lock is held", "{kind}");
        let conn = &mut PgConnection::establish(&server.url("")).expect("a connection");
        conn.batch_execute("SELECT pg_advisory_lock(4242)")
            .expect("a lock");
        let text = output(&server);
        assert!(
            text.contains("key 4242") && text.contains("1 locks held"),
            "{text}"
        );
    }
}
