//! Waits that end when the lock is granted, or just before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::ServerKind;
use crate::suite::support::{Counter, Db};

/// A timeout may come just after the lock was granted: no lock is left, whichever comes first.
#[server_test(serial)]
fn timeout_that_races_with_the_grant_leaves_no_lock(db: &Db) {
    db.counter(1);
    let name = &LockName::named("job");
    let (granted, timed_out) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    for round in 0..500_u64 {
        let held = name.lock().acquire(holder).unwrap();
        let wait = Duration::from_millis(3);
        thread::scope(|scope| {
            let start = Instant::now();
            let releasing = scope.spawn(move || {
                // Around the end of the wait, which begins a moment later.
                let at = wait + Duration::from_micros(100 + 20 * (round % 60));
                while start.elapsed() < at {
                    std::hint::spin_loop();
                }
                held.release()
            });
            match name.lock().timeout(wait).acquire(waiter) {
                Ok(held) => {
                    granted.fetch_add(1, Ordering::Relaxed);
                    held.release().unwrap();
                }
                Err(LockError::Timeout { .. }) => _ = timed_out.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{error:?}"),
            }
            releasing.join().unwrap().unwrap();
        });
        db.assert_free(name);
    }
    let (granted, timed_out) = (
        granted.load(Ordering::Relaxed),
        timed_out.load(Ordering::Relaxed),
    );
    assert!(
        granted > 0 && timed_out > 0,
        "{granted} granted, {timed_out} timed out"
    );
    // No session was ended.
    waiter.batch_execute("SELECT 1").unwrap();
}

type Attempt<'a> = &'a dyn Fn(&mut PgConnection) -> Result<(), LockError>;

/// The limits of the session do not cut a wait, whatever form it has.
#[server_test(serial)]
fn limits_of_the_session_do_not_end_a_wait(db: &Db) {
    let name = db.counter(1).lock_name();
    let mut limits = vec!["SET statement_timeout = 50", "SET lock_timeout = 50"];
    if db.kind() == ServerKind::Postgres18 {
        limits.push("SET transaction_timeout = 50");
    }
    let holder = &mut db.conn();
    let _held = name.lock().acquire(holder).unwrap();
    let asked = Duration::from_millis(300);
    for limit in limits {
        let conn = &mut db.conn();
        conn.batch_execute(limit).unwrap();
        let attempts: [Attempt<'_>; 3] = [
            &|conn| name.lock().timeout(asked).run(conn, |_, _| Ok(())),
            &|conn| name.lock().timeout(asked).transaction(conn, |_, _| Ok(())),
            &|conn| {
                lock_all((&mut Counter { id: 1, value: 0 }, LockName::named("a")))
                    .timeout(asked)
                    .transaction(conn, |_, _| Ok(()))
            },
        ];
        for (nth, attempt) in attempts.iter().enumerate() {
            let start = Instant::now();
            let error = attempt(conn).unwrap_err();
            let elapsed = start.elapsed();
            assert!(
                matches!(error, LockError::Timeout { .. }),
                "{limit}, {nth}: {error:?}"
            );
            assert!(
                elapsed >= asked && elapsed < asked + Duration::from_millis(100),
                "{limit}, {nth}: {elapsed:?}"
            );
            assert_eq!(error.name(), &name, "{nth}");
            assert!(error.holder().is_some(), "{nth}");
        }
        db.assert_free(&LockName::named("a"));
    }
}

#[server_test]
fn canceled_wait_of_a_transaction_is_interrupted(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let mut waiter = db.conn();
    let session = crate::server::session_id(&mut waiter);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            name.lock()
                .transaction(&mut waiter, |_, _| Ok::<_, LockError>(()))
        });
        db.wait_until_blocked(session);
        db.kill_statement(session);
        let result = waiting.join().unwrap();
        assert!(
            matches!(result, Err(LockError::Interrupted { .. })),
            "{result:?}"
        );
    });
    held.release().unwrap();
    // The connection is usable, and outside of a transaction.
    waiter.transaction(|_| QueryResult::Ok(())).unwrap();
    db.assert_free(&name);
}
