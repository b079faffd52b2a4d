//! Waits of less than a second, and without diagnostics, on MySQL and MariaDB.

use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::session_id;
use crate::statements::session_status;
use crate::suite::support::{Db, assert_times_out};

/// `max_error_count = 0` keeps no diagnostics.
#[server_test(serial)]
fn timeout_without_diagnostics_returns_timeout(db: &Db) {
    let name = LockName::named("job");
    let waiter = &mut db.conn();
    waiter.batch_execute("SET max_error_count = 0").unwrap();
    let timeout = Duration::from_millis(300);
    assert_times_out(db, &name, timeout, || {
        name.lock().timeout(timeout).acquire(waiter).map(drop)
    });
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let tried = name
        .lock()
        .timeout(timeout)
        .try_acquire(waiter)
        .unwrap()
        .is_some();
    assert!(!tried);
    held.release().unwrap();
    name.lock().acquire(waiter).unwrap().release().unwrap();
}

/// Each timeout is another statement, because the optimizer hint takes no bind parameter.
#[server_test(serial)]
fn distinct_fractions_do_not_fill_the_statement_cache(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let _held = name.lock().acquire(holder).unwrap();
    let open = |conn: &mut _| {
        let prepared = session_status(conn, "Com_stmt_prepare");
        prepared - session_status(conn, "Com_stmt_close")
    };
    // The first run prepares the statements that stay cached. Its timeout is long enough to reach
    // the wait on a slow machine.
    assert!(
        name.lock()
            .timeout(Duration::from_millis(300))
            .try_acquire(waiter)
            .unwrap()
            .is_none()
    );
    let before = open(waiter);
    for ms in 2..22 {
        let held = name
            .lock()
            .timeout(Duration::from_millis(ms))
            .try_acquire(waiter)
            .unwrap();
        assert!(held.is_none());
    }
    assert_eq!(open(waiter), before);
}

/// MySQL waits for the seconds with one statement, and for the fraction with another.
#[server_test]
fn timeout_of_seconds_and_a_fraction_is_exact(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let held = name.lock().acquire(holder).unwrap();
    let asked = Duration::from_millis(10_300);
    let start = Instant::now();
    let waited = name.lock().timeout(asked).try_acquire(waiter).unwrap();
    assert!(waited.is_none());
    let elapsed = start.elapsed();
    assert!(
        elapsed >= asked && elapsed < asked + Duration::from_millis(500),
        "{elapsed:?}"
    );
    held.release().unwrap();
    db.assert_free(&name);
}

/// A wait of whole seconds has a cached statement on MySQL, which must not end with the lock held
/// twice, or without it.
#[server_test]
fn lock_is_held_once_after_a_wait(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let session = session_id(waiter);
    for timeout in [1_500, 20_000, 20_300].map(Duration::from_millis) {
        for _ in 0..2 {
            let held = name.lock().acquire(holder).unwrap();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    let held = name.lock().timeout(timeout).acquire(waiter).unwrap();
                    assert_eq!(db.holder(&name), Some(session));
                    held.release().unwrap();
                });
                db.wait_until_blocked(session);
                held.release().unwrap();
                waiting.join().unwrap();
            });
            db.assert_free(&name);
        }
    }
}
