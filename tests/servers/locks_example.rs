//! The example that shows who holds which lock, run as a stranger would.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use test_server::{Kind, Server};

use crate::support::{Account, Case, Db, counters, example, session_id};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(it_prints_holders_and_waiters).private(),
        case!(it_keeps_the_screen_current).private(),
        case!(it_says_what_is_missing).only(Kind::Mysql),
        case!(it_prints_a_partial_table_with_a_warning_when_locks_were_lost).only(Kind::Mysql),
    ]
}

fn it_prints_holders_and_waiters(db: &Db) {
    db.let_locks_be_seen();
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let (holders_id, waiters_id) = (session_id(holder), session_id(waiter));
    let name = LockName::row(counters::table, 7).scope("send");
    let held = name.lock().acquire(holder).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| name.lock().acquire(waiter).unwrap().release().unwrap());
        db.until_waiting(waiters_id);
        let output = Command::new(example("locks"))
            .env("DATABASE_URL", db.url())
            .output()
            .unwrap();
        held.release().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text
            .lines()
            .find(|line| line.contains(&db.schema) && line.contains("counters 7"))
            .unwrap_or_else(|| panic!("{text}"));
        let cells: Vec<_> = line.split(['│', '┆']).map(str::trim).collect();
        assert_eq!(cells[2], "send");
        assert!(
            cells[4].starts_with(&format!("{holders_id} root@")),
            "{line}"
        );
        assert!(cells[6].starts_with("idle for"), "{line}");
        assert!(
            cells[7].starts_with(&format!("{waiters_id} root@")),
            "{line}"
        );
    });
}

/// Ends with the case.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn it_keeps_the_screen_current(db: &Db) {
    db.let_locks_be_seen();
    let conn = &mut db.conn();
    let held = LockName::named("job").lock().acquire(conn).unwrap();
    let mut watching = Watching(
        Command::new(example("locks"))
            .arg("--watch")
            .env("DATABASE_URL", db.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    // Each screen ends with a line that tells how many there are.
    let mut shows_ours = || {
        let mut is_ours = false;
        for line in lines.by_ref() {
            is_ours |= line.contains(&db.schema);
            if line.ends_with(" waiting") || line == "no lock is held" {
                return is_ours;
            }
        }
        panic!("the example has ended");
    };
    assert!((0..20).any(|_| shows_ours()), "it is held");
    held.release().unwrap();
    assert!((0..20).any(|_| !shows_ours()), "it is free");
}

fn it_says_what_is_missing(db: &Db) {
    let account = Account::create(db);
    let output = Command::new(example("locks"))
        .args(["--database-url", &account.url()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("GRANT SELECT ON performance_schema.metadata_locks"),
        "{text}"
    );
    assert!(text.contains("because: "), "{text}");
}

fn it_prints_a_partial_table_with_a_warning_when_locks_were_lost(db: &Db) {
    const LIMIT: &str = "--performance-schema-max-metadata-locks=25";
    let server = Server::start_with(db.kind(), &[LIMIT]).unwrap();
    let conn = &mut MysqlConnection::establish(&server.url("")).unwrap();
    for number in 0..64 {
        let written = LockName::named(format!("job-{number}")).written("");
        conn.batch_execute(&format!("DO GET_LOCK('{written}', 0)"))
            .unwrap();
    }
    let output = Command::new(example("locks"))
        .args(["--database-url", &server.url("")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"job-"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("warning: MySQL has not recorded "),
        "{text}"
    );
    assert!(
        last.contains("performance_schema_max_metadata_locks"),
        "{text}"
    );
}
