//! Waits of less than a second, and without diagnostics, on MySQL and MariaDB.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

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
