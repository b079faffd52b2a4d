//! No lock is released before COMMIT, and none is acquired inside an open transaction.

use std::panic::resume_unwind;
use std::sync::Barrier;

use diesel::connection::TransactionManager;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db, counters, panics, wait_until};
use crate::server::{self, Conn};

const THREADS: usize = 8;
const TIMES: usize = 250;

type Manager = <Conn as Connection>::TransactionManager;

#[server_test]
fn acquire_inside_open_transaction_is_refused(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    conn.transaction(|conn| {
        let run = counter.with_lock(conn, |_, _| Ok::<_, LockError>(()));
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        let run = counter
            .lock()
            .transaction(conn, |_, _| Ok::<_, LockError>(()));
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        let guard = name.lock().try_acquire(conn).map(|guard| guard.is_some());
        assert!(
            matches!(guard, Err(LockError::OpenTransaction { .. })),
            "{guard:?}"
        );
        let guard = name
            .lock()
            .timeout(std::time::Duration::from_millis(20))
            .acquire(conn);
        assert!(
            matches!(guard, Err(LockError::OpenTransaction { .. })),
            "{guard:?}"
        );
        drop(guard);
        db.assert_free(&name);
        QueryResult::Ok(())
    })
    .unwrap();
    // The connection is still usable.
    counter.with_lock(conn, Counter::add_one).unwrap();
}

#[server_test]
fn savepoint_in_a_test_transaction_is_refused(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    conn.begin_test_transaction().unwrap();
    conn.transaction(|conn| {
        let run = counter.with_lock(conn, |_, _| Ok::<_, LockError>(()));
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        QueryResult::Ok(())
    })
    .unwrap();
    counter
        .lock()
        .transaction(conn, |counter, conn| {
            counter.with_lock(conn, Counter::add_one)
        })
        .expect("held already, so re-entrant at any depth");
}

/// Runs `increment` on all threads at once, each with a connection. Returns the counter's value.
fn race(db: &Db, increment: impl Fn(&mut Conn) + Sync) -> i64 {
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let conn = &mut db.conn();
                start.wait();
                (0..TIMES).for_each(|_| increment(conn));
            });
        }
    });
    db.value(1)
}

#[server_test]
fn transaction_under_the_lock_keeps_every_increment(db: &Db) {
    let counter = db.counter(1);
    let total = race(db, |conn| {
        counter
            .clone()
            .lock()
            .transaction(conn, Counter::add_one)
            .unwrap();
    });
    assert_eq!(total, 2_000);
}

/// The negative control: the same increments, released one statement too early.
#[server_test]
fn release_before_commit_loses_increments(db: &Db) {
    let counter = db.counter(1);
    let name = db.full_name(&counter.lock_name());
    let total = race(db, |conn| {
        server::wait_and_acquire(conn, &name).unwrap();
        // The release is inside the transaction, which is too early. A server that refuses the
        // update loses one of two increments too.
        let written = conn.transaction(|conn| {
            let value: i64 = counters::table
                .find(1)
                .select(counters::value)
                .get_result(conn)?;
            diesel::update(&counter)
                .set(counters::value.eq(value + 1))
                .execute(conn)?;
            server::release(conn, &name)
        });
        if let Err(refused) = written {
            assert!(server::is_snapshot_conflict(&refused), "{refused}");
            server::release(conn, &name).unwrap();
        }
    });
    assert!(
        total < 2_000,
        "no increment was lost: the threads did not race"
    );
}

#[server_test]
fn error_rolls_back_and_then_releases(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let run = counter.lock().transaction(conn, |counter, conn| {
        counter.add_one(conn)?;
        Err::<(), _>(DieselError::RollbackTransaction)
    });
    assert_eq!(run, Err(DieselError::RollbackTransaction));
    assert_eq!(db.value(1), 0);
    assert_eq!(
        counter.value, 1,
        "the caller's model keeps the changes of the closure"
    );
    db.assert_free(&counter.lock_name());
    counter.lock().transaction(conn, Counter::add_one).unwrap();
    assert_eq!(db.value(1), 1);
}

#[server_test]
fn panic_rolls_back_and_then_releases(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    assert!(panics(|| {
        counter
            .lock()
            .transaction(conn, |counter, conn| -> QueryResult<()> {
                counter.add_one(conn)?;
                resume_unwind(Box::new("on purpose"))
            })
    }));
    assert_eq!(db.value(1), 0);
    db.assert_free(&name);
    let mut again = Counter { id: 1, value: 0 };
    again
        .lock()
        .transaction(conn, Counter::add_one)
        .expect("the connection is usable");
}

/// A session that waits for the lock sees the committed row as soon as it acquires the lock.
#[server_test]
fn commit_precedes_the_release(db: &Db) {
    let counter = db.counter(1);
    let name = counter.lock_name();
    for round in 1..=100 {
        std::thread::scope(|scope| {
            let other = &mut db.conn();
            let writer = scope.spawn(|| {
                counter
                    .clone()
                    .lock()
                    .transaction(&mut db.conn(), Counter::add_one)
            });
            wait_until("the writer has or had the lock", || {
                writer.is_finished() || db.holder(&name).is_some()
            });
            let seen = name.lock().run(other, |_, conn| {
                counters::table
                    .find(1)
                    .select(counters::value)
                    .get_result::<i64>(conn)
            });
            assert_eq!(seen, Ok(round));
            writer.join().unwrap().unwrap();
        });
    }
}

#[server_test]
fn transaction_left_open_is_rolled_back_and_reported(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let run: Result<_, LockError> = counter.with_lock(conn, |counter, conn| {
        Manager::begin_transaction(conn).unwrap();
        counter.value = 9;
        counter.save(conn).unwrap();
        Ok(())
    });
    assert!(
        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
        "{run:?}"
    );
    assert_eq!(db.value(1), 0);
    db.assert_free(&counter.lock_name());
    counter
        .with_lock(conn, Counter::add_one)
        .expect("the connection is clean");
    assert_eq!(db.value(1), 1);
}

#[server_test]
fn savepoint_left_open_in_a_transaction_is_reported(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let run: Result<_, LockError> = counter.lock().transaction(conn, |counter, conn| {
        Manager::begin_transaction(conn).unwrap();
        counter.value = 9;
        counter.save(conn).unwrap();
        Ok(())
    });
    assert!(
        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
        "{run:?}"
    );
    assert_eq!(db.value(1), 0);
    db.assert_free(&counter.lock_name());
    counter
        .lock()
        .transaction(conn, Counter::add_one)
        .expect("the connection is clean");
}

#[server_test]
fn guard_reports_a_transaction_left_open(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let mut held = counter.lock().acquire(conn).unwrap();
    Manager::begin_transaction(&mut *held).unwrap();
    counter.add_one(&mut held).unwrap();
    let released = held.release();
    assert!(
        matches!(released, Err(LockError::TransactionLeftOpen { .. })),
        "{released:?}"
    );
    assert_eq!(db.value(1), 0);
    db.assert_free(&counter.lock_name());
}

#[server_test]
fn dropped_guard_rolls_back_a_transaction_left_open(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    let mut held = counter.lock().acquire(conn).unwrap();
    Manager::begin_transaction(&mut *held).unwrap();
    counter.add_one(&mut held).unwrap();
    drop(held);
    assert_eq!(db.value(1), 0);
    db.assert_free(&name);
    conn.transaction(|conn| counter.add_one(conn)).unwrap();
}

#[server_test]
fn error_with_a_transaction_left_open_returns_the_closures_error(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let run = counter.with_lock(conn, |counter, conn| {
        Manager::begin_transaction(conn)?;
        counter.add_one(conn)?;
        Err::<(), _>(DieselError::RollbackTransaction)
    });
    assert_eq!(run, Err(DieselError::RollbackTransaction));
    assert_eq!(db.value(1), 0);
    db.assert_free(&counter.lock_name());
}

#[server_test]
fn transaction_ended_by_the_closure_returns_database_error(db: &Db) {
    let mut counter = db.counter(1);
    let run: Result<(), LockError> = counter.lock().transaction(&mut db.conn(), |_, conn| {
        Manager::commit_transaction(conn).unwrap();
        Ok(())
    });
    assert!(
        matches!(
            run,
            Err(LockError::Database {
                source: DieselError::NotInTransaction,
                ..
            })
        ),
        "{run:?}"
    );
    db.assert_free(&counter.lock_name());
}

#[server_test]
fn broken_transaction_manager_is_rolled_back_and_reported(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let run: Result<(), LockError> = counter.with_lock(conn, |counter, conn| {
        Manager::begin_transaction(conn).unwrap();
        counter.add_one(conn).unwrap();
        Manager::transaction_manager_status_mut(conn).set_in_error();
        Ok(())
    });
    assert!(
        matches!(
            run,
            Err(LockError::Database {
                source: DieselError::BrokenTransactionManager,
                ..
            })
        ),
        "{run:?}"
    );
    db.assert_free(&counter.lock_name());
    // No row lock is left either, although the connection stays open.
    counter
        .lock()
        .transaction(&mut db.conn(), Counter::add_one)
        .unwrap();
    assert_eq!(db.value(1), 1);
}
