//! The program as a user runs it. Each test needs a private server, because it changes the server's
//! settings, expects no locks but its own, or uses an account with few privileges.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_advisory_lock::prelude::*;
use test_server::{Server, ServerKind, kinds_under_test, mysql_kinds_under_test};

diesel::table! {
    counters (id) {
        id -> BigInt,
    }
}

/// Creates a database with this name on the shared server of this kind. Returns its URL.
fn database(kind: ServerKind, name: &str) -> String {
    let server = Server::shared(kind);
    let conn = &mut connect(&server.url(""));
    conn.batch_execute(&format!("CREATE DATABASE {name}"))
        .expect("a database");
    server.url(name)
}

/// Makes MariaDB record the holders of locks. MySQL always does.
fn record_locks(kind: ServerKind) {
    if kind == ServerKind::Mariadb {
        connect(&Server::shared(kind).url(""))
            .batch_execute(
                "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'",
            )
            .expect("the plugin");
    }
}

fn connect(url: &str) -> MysqlConnection {
    MysqlConnection::establish(url).expect("a connection")
}

fn number(conn: &mut MysqlConnection, expression: &str) -> i64 {
    diesel::select(sql::<BigInt>(expression))
        .get_result(conn)
        .expect(expression)
}

fn session_id(conn: &mut MysqlConnection) -> i64 {
    number(conn, "CAST(CONNECTION_ID() AS SIGNED)")
}

/// Waits until the session waits for a lock.
fn wait_until_waiting(url: &str, session: i64) {
    let conn = &mut connect(url);
    let waiting = format!(
        "(SELECT COUNT(*) FROM information_schema.processlist
          WHERE state = 'User lock' AND id = {session})"
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while number(conn, &waiting) == 0 {
        assert!(Instant::now() < deadline, "the session does not wait");
        thread::sleep(Duration::from_millis(5));
    }
}

fn locks(url: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_locks"))
        .args(["--database-url", url])
        .output()
        .expect("the program runs")
}

fn printed(text: Vec<u8>) -> String {
    String::from_utf8(text).expect("UTF-8")
}

#[test]
fn a_held_lock_is_printed_with_its_holder_and_its_waiter() {
    for kind in mysql_kinds_under_test() {
        record_locks(kind);
        let url = database(kind, "waited_for");
        let (holder, waiter) = (&mut connect(&url), &mut connect(&url));
        let (holders_id, waiters_id) = (session_id(holder), session_id(waiter));
        let name = LockName::row(counters::table, 7).scope("send");
        let held = name.lock().acquire(holder).expect("a free lock");
        let output = thread::scope(|scope| {
            scope.spawn(|| {
                let held = name.lock().acquire(waiter).expect("the lock in time");
                held.release().expect("the lock, which is held");
            });
            wait_until_waiting(&url, waiters_id);
            let output = Command::new(env!("CARGO_BIN_EXE_locks"))
                .env("DATABASE_URL", &url)
                .output();
            held.release().expect("the lock, which is held");
            output.expect("the program runs")
        });
        assert!(output.status.success(), "{kind}: {output:?}");
        let text = printed(output.stdout);
        let line = text
            .lines()
            .find(|line| line.contains("waited_for") && line.contains("counters 7"))
            .unwrap_or_else(|| panic!("{kind}: {text}"));
        let cells: Vec<_> = line.split(['│', '┆']).map(str::trim).collect();
        assert_eq!(cells[2], "send");
        let [holder, waiter] = [holders_id, waiters_id].map(|id| format!("{id} root@"));
        assert!(cells[4].starts_with(&holder), "{kind}: {line}");
        assert!(cells[6].starts_with("idle for"), "{kind}: {line}");
        assert!(cells[7].starts_with(&waiter), "{kind}: {line}");
    }
}

/// The program with `--watch`. Killed on drop.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn watch_prints_a_lock_until_it_is_released() {
    for kind in mysql_kinds_under_test() {
        record_locks(kind);
        let url = database(kind, "watched");
        let conn = &mut connect(&url);
        let name = LockName::named("job");
        let held = name.lock().acquire(conn).expect("a free lock");
        let mut watching = Watching(
            Command::new(env!("CARGO_BIN_EXE_locks"))
                .arg("--watch")
                .env("DATABASE_URL", &url)
                .stdout(Stdio::piped())
                .spawn()
                .expect("the program runs"),
        );
        let output = watching.0.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(output).lines();
        // Each screen ends with the number of locks.
        let mut shows_lock = || {
            let mut is_shown = false;
            for line in lines.by_ref().map(|line| line.expect("UTF-8")) {
                is_shown |= line.contains("watched");
                if line.ends_with(" waiting") || line == "no lock is held" {
                    return is_shown;
                }
            }
            panic!("{kind}: the program has ended");
        };
        assert!((0..20).any(|_| shows_lock()), "{kind}: the lock is held");
        held.release().expect("the lock, which is held");
        assert!((0..20).any(|_| !shows_lock()), "{kind}: the lock is free");
    }
}

#[test]
fn a_missing_privilege_is_named_in_the_error() {
    // Without the privilege MariaDB hides sessions, and returns no error.
    if !kinds_under_test().contains(&ServerKind::Mysql) {
        return;
    }
    let url = database(ServerKind::Mysql, "privileges");
    connect(&url)
        .batch_execute("CREATE USER weak@'%'; GRANT ALL ON privileges.* TO weak@'%'")
        .expect("an account");
    let output = locks(&url.replace("//root@", "//weak@"));
    assert!(!output.status.success(), "{output:?}");
    let text = printed(output.stderr);
    let grant = "GRANT SELECT ON performance_schema.metadata_locks";
    assert!(text.contains(grant), "{text}");
    assert!(text.contains("Caused by:"), "{text}");
}

#[test]
fn a_warning_below_the_table_reports_locks_that_were_not_recorded() {
    // MariaDB records all of them.
    if !kinds_under_test().contains(&ServerKind::Mysql) {
        return;
    }
    let limit = "--performance-schema-max-metadata-locks=25";
    let server = Server::start_with(ServerKind::Mysql, &[limit]).expect("a server");
    let conn = &mut connect(&server.url(""));
    for number in 0..64 {
        let written = LockName::named(format!("job-{number}")).full_name("");
        conn.batch_execute(&format!("DO GET_LOCK('{written}', 0)"))
            .expect("a free lock");
    }
    let output = locks(&server.url(""));
    assert!(output.status.success(), "{output:?}");
    let text = printed(output.stdout);
    assert!(text.contains("\"job-"), "{text}");
    let last = text.lines().last().expect("a line");
    let warning = "warning: MySQL has not recorded ";
    assert!(last.starts_with(warning), "{text}");
    assert!(
        last.contains("performance_schema_max_metadata_locks"),
        "{text}"
    );
}
