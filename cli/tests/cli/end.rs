//! `diesel-lock end`.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use diesel_advisory_lock::LockName;
use server_test::server_test;

use crate::support::Db;

#[server_test]
fn holder_is_ended_and_the_lock_is_free(db: &Db) {
    let name = LockName::named("end");
    let mut holder = db.hold(&name);
    let id = holder.id();
    let full_name = db.full_name(&name);
    let ran = db.run(&["end", &full_name, "--yes"]).assert_code(0);
    let fields = ran.line(&full_name);
    assert_eq!(fields[3], id.to_string());
    let last = format!("ended connection {id}; {full_name} is free");
    assert_eq!(ran.out.lines().last(), Some(&*last), "{ran:?}");
    db.run(&["who", &full_name]).assert_code(1);
    // The session exists no more.
    db.run(&["end", &full_name, "--yes"]).assert_code(1);
    drop(holder);
}

#[server_test]
fn waiter_that_gets_the_lock_is_named_and_not_ended(db: &Db) {
    let name = LockName::named("end-for-waiter");
    let _holder = db.hold(&name);
    let mut waiter = db.conn();
    let id = waiter.id();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.run_under(&name));
        db.wait_until_blocked(id);
        let ran = db.run(&["end", "=end-for-waiter", "--yes"]).assert_code(0);
        assert!(ran.out.contains("ended connection "), "{ran:?}");
        waiting.join().expect("the lock");
    });
    assert_eq!(waiter.id(), id);
}

#[server_test]
fn without_yes_and_terminal_nothing_is_ended(db: &Db) {
    let name = LockName::named("no-terminal");
    let mut holder = db.hold(&name);
    let id = holder.id();
    let ran = db.run(&["end", "=no-terminal"]).assert_code(2);
    assert_eq!(ran.line(&db.full_name(&name))[3], id.to_string());
    assert!(ran.err.contains("--yes"), "{ran:?}");
    assert_eq!(holder.id(), id);
}

#[server_test]
fn free_lock_has_no_session_to_end(db: &Db) {
    let ran = db.run(&["end", "=free", "--yes"]).assert_code(1);
    assert!(ran.err.contains("no session to end"), "{ran:?}");
}

#[cfg(feature = "postgres")]
#[server_test(postgres, postgres18)]
fn all_sessions_that_share_a_lock_are_ended(db: &Db) {
    let mut holders = [db.conn(), db.conn()];
    for holder in &mut holders {
        holder.execute("SELECT pg_advisory_lock_shared(42)");
    }
    let ran = db.run(&["end", "42", "--yes"]).assert_code(0);
    assert!(ran.out.contains("ended connections "), "{ran:?}");
    db.run(&["who", "42"]).assert_code(1);
}

/// The program in a pseudo-terminal, after it has asked.
fn asked(db: &Db, name: &str) -> Child {
    let command = format!("'{}' end '{name}'", env!("CARGO_BIN_EXE_diesel-lock"));
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("DATABASE_URL", db.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs");
    let out = script.stdout.as_mut().expect("a pipe");
    let mut seen = Vec::new();
    while !seen.ends_with(b"[y/N] ") {
        let mut byte = [0];
        out.read_exact(&mut byte).expect("a question");
        seen.extend(byte);
    }
    script
}

/// Returns the exit code.
fn answer(mut script: Child, answer: &[u8]) -> Option<i32> {
    let input = script.stdin.as_mut().expect("a pipe");
    input.write_all(answer).expect("an open pipe");
    let output = script.wait_with_output().expect("a status");
    output.status.code()
}

#[server_test]
fn answer_in_a_terminal_decides(db: &Db) {
    let name = LockName::named("answer");
    let mut holder = db.hold(&name);
    let id = holder.id();
    for no in ["n\n", "\n", "yesterday\n"] {
        let script = asked(db, "=answer");
        assert_eq!(answer(script, no.as_bytes()), Some(3));
    }
    assert_eq!(holder.id(), id);
    let script = asked(db, "=answer");
    assert_eq!(answer(script, b"y\n"), Some(0));
    db.run(&["who", "=answer"]).assert_code(1);
}

#[server_test]
fn session_that_released_the_lock_before_the_answer_is_not_ended(db: &Db) {
    let name = LockName::named("handed-over");
    let mut holder = db.hold(&name);
    let id = holder.id();
    let script = asked(db, "=handed-over");
    holder.release_all();
    let mut next = db.hold(&name);
    let next_id = next.id();
    assert_eq!(answer(script, b"y\n"), Some(3));
    assert_eq!((holder.id(), next.id()), (id, next_id));

    let script = asked(db, "=handed-over");
    next.release_all();
    assert_eq!(answer(script, b"y\n"), Some(1));
    assert_eq!(next.id(), next_id);
}

/// A stopped process of the server does not end its session.
#[cfg(feature = "postgres")]
#[server_test(postgres, postgres18, own_server)]
fn session_that_does_not_end_in_time_is_reported(db: &Db) {
    let mut holder = db.hold(&LockName::named("stopped"));
    let id = holder.id().to_string();
    let signal = |signal: &str| {
        let kill = Command::new("kill").args([signal, &*id]).status();
        assert!(kill.expect("kill runs").success());
    };
    signal("-STOP");
    let ran = db.run(&["end", "=stopped", "--yes", "--wait", "0.2"]);
    signal("-CONT");
    let ran = ran.assert_code(4);
    assert!(ran.err.contains("still has the lock"), "{ran:?}");
}
