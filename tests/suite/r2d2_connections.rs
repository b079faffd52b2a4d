//! No connection returns to its pool locked or with an open transaction.

use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use diesel::connection::TransactionManager;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db, panics};
use crate::server::{Conn, session_id};

type Pooled = PooledConnection<ConnectionManager<Conn>>;

#[server_test]
fn pooled_connection_is_accepted_by_every_form(db: &Db) {
    let mut counter = db.counter(1);
    let (pool, _) = db.pool(1);
    let mut conn: Pooled = pool.get().unwrap();
    counter.with_lock(&mut conn, Counter::add_one).unwrap();
    counter
        .lock()
        .transaction(&mut conn, Counter::add_one)
        .unwrap();
    let mut held = counter.lock().acquire(&mut conn).unwrap();
    counter.add_one(&mut held).unwrap();
    held.release().unwrap();
    assert_eq!(db.value(1), 3);
}

/// Runs `misuse` on the only connection of a pool. Asserts what the pool did with the connection,
/// and that the next request acquires the lock.
fn assert_pool_counts(
    db: &Db,
    counts: (usize, usize, usize),
    misuse: impl FnOnce(Pooled, &mut Counter),
) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let (pool, events) = db.pool(1);
    misuse(pool.get().unwrap(), &mut counter);
    db.wait_until_free(&name);
    // A pool replaces what it discards in the background.
    let deadline = Instant::now() + Duration::from_secs(5);
    while events.counts() != counts && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(events.counts(), counts, "opened, returned, discarded");
    let mut again = pool.get().unwrap();
    Counter { id: 1, value: 0 }
        .lock()
        .transaction(&mut again, |_, _| Ok::<_, LockError>(()))
        .unwrap();
    assert_eq!(db.value(1), 0, "the work was not rolled back");
}

#[server_test]
fn value_or_error_returns_the_pooled_connection(db: &Db) {
    assert_pool_counts(db, (1, 1, 0), |mut conn, counter| {
        counter
            .with_lock(&mut conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
        counter
            .with_lock(&mut conn, |_, _| {
                Err::<(), _>(diesel::result::Error::NotFound)
            })
            .unwrap_err();
    });
}

#[server_test]
fn transaction_left_open_returns_a_clean_connection(db: &Db) {
    assert_pool_counts(db, (1, 1, 0), |mut conn, counter| {
        let run: Result<(), LockError> = counter.with_lock(&mut conn, |counter, conn| {
            <Conn as Connection>::TransactionManager::begin_transaction(conn).unwrap();
            counter.add_one(conn).unwrap();
            Ok(())
        });
        assert!(matches!(run, Err(LockError::TransactionLeftOpen { .. })));
    });
}

#[server_test]
fn panic_discards_the_connection(db: &Db) {
    assert_pool_counts(db, (2, 1, 1), |conn, counter| {
        assert!(panics(move || {
            let mut conn = conn;
            counter
                .lock()
                .transaction(&mut conn, |counter, conn| -> QueryResult<()> {
                    counter.add_one(conn)?;
                    resume_unwind(Box::new("on purpose"))
                })
        }));
    });
}

#[server_test]
fn caught_panic_returns_a_clean_connection(db: &Db) {
    assert_pool_counts(db, (1, 1, 0), |mut conn, counter| {
        assert!(panics(|| {
            counter
                .lock()
                .transaction(&mut conn, |counter, conn| -> QueryResult<()> {
                    counter.add_one(conn)?;
                    resume_unwind(Box::new("on purpose"))
                })
        }));
    });
}

#[server_test]
fn lost_lock_discards_the_connection(db: &Db) {
    assert_pool_counts(db, (2, 1, 1), |mut conn, counter| {
        let name = counter.lock_name();
        let run: Result<(), LockError> = counter.with_lock(&mut conn, |_, conn| {
            db.release_raw(conn, &name);
            Ok(())
        });
        assert!(
            matches!(run, Err(LockError::Lost { source: None, .. })),
            "{run:?}"
        );
    });
}

#[server_test]
fn dropped_guard_of_a_dead_connection_discards_it(db: &Db) {
    assert_pool_counts(db, (2, 1, 1), |mut conn, counter| {
        let mut held = counter.lock_name().lock().acquire(&mut conn).unwrap();
        let id = session_id(&mut held);
        db.kill_session(id);
        drop(held);
    });
}
