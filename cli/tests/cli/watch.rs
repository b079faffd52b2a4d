//! `diesel-lock watch`.

use std::process::Stdio;

use diesel_advisory_lock::LockName;
use server_test::server_test;

use crate::support::{Db, Running, program, wait_until};

fn watch(db: &Db, arguments: &[&str]) -> Running {
    let arguments = [&["watch", "--interval", "0.1"], arguments].concat();
    Running::start(program(&arguments).env("DATABASE_URL", db.url()))
}

#[server_test]
fn a_pipe_gets_a_line_for_each_change(db: &Db) {
    let name = LockName::named("watched");
    let mut holder = db.hold(&name);
    let id = holder.id().to_string();
    let listed = db.listed(&name);
    let mut watching = watch(db, &[]);
    let line = watching.read_until(&["\theld\t", &listed]);
    let fields: Vec<_> = line.split('\t').collect();
    assert_eq!(fields.len(), 5, "{line}");
    assert!(fields[0].ends_with('Z'), "{line}");
    assert_eq!(fields[1..4], ["held", &listed, &id]);
    drop(holder);
    let line = watching.read_until(&["\treleased\t", &listed]);
    assert!(line.contains(&id), "{line}");
}

#[server_test]
fn changes_are_json_lines_on_demand(db: &Db) {
    let name = LockName::named("watched-json");
    let _holder = db.hold(&name);
    let mut watching = watch(db, &["--json"]);
    let line = watching.read_until(&[&db.listed(&name)]);
    let change: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(change["change"], "held");
    assert_eq!(change["user"], "root");
}

/// Also if nothing changes, so that there is nothing to write.
#[server_test]
fn the_end_of_the_reader_ends_it(db: &Db) {
    let name = LockName::named("watched-pipe");
    let _holder = db.hold(&name);
    let arguments = ["watch", "--interval", "0.1"];
    let mut watching = Running::start(
        program(&arguments)
            .env("DATABASE_URL", db.url())
            .stderr(Stdio::piped()),
    );
    watching.read_until(&["\theld\t"]);
    let child = watching.close_pipe();
    let mut status = None;
    wait_until("the program has ended", || {
        status = child.try_wait().expect("a status");
        status.is_some()
    });
    let error = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("UTF-8");
    assert_eq!(error, "");
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

/// The session of the program is ended, as by a restart of the server.
#[cfg(feature = "mysql")]
#[server_test(mariadb, mysql, own_server)]
fn a_lost_connection_is_reported_and_replaced(db: &Db) {
    let mut conn = db.conn();
    let mut watching = Running::start(
        program(&["watch", "--interval", "0.1"])
            .env("DATABASE_URL", db.url())
            .stderr(Stdio::piped()),
    );
    // Before its first list, a lost connection would end the program.
    let before = LockName::named("before");
    let mut holder = db.hold(&before);
    watching.read_until(&["\theld\t", &db.listed(&before)]);
    let holder = holder.number("SELECT CAST(CONNECTION_ID() AS SIGNED) AS n");
    let of_program = format!(
        "FROM information_schema.PROCESSLIST WHERE COMMAND = 'Sleep' \
         AND ID NOT IN (CONNECTION_ID(), {holder})"
    );
    wait_until("the program has connected", || {
        conn.number(&format!("SELECT COUNT(*) AS n {of_program}")) == 1
    });
    let id = conn.number(&format!("SELECT CAST(MAX(ID) AS SIGNED) AS n {of_program}"));
    conn.execute(&format!("KILL {id}"));
    let name = LockName::named("after");
    let _holder = db.hold(&name);
    watching.read_until(&["\theld\t", &db.listed(&name)]);
    let child = watching.close_pipe();
    let error = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("UTF-8");
    assert!(error.starts_with("diesel-lock: warning: "), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
