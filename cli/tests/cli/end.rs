//! `diesel-lock end`.

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
    let fields = ran.line(&db.listed(&name));
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
    assert_eq!(ran.line(&db.listed(&name))[3], id.to_string());
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
