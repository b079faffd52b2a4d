//! No lock is released before COMMIT, and none is acquired inside an open transaction.

use std::panic::resume_unwind;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Counter, Db, counters, panics, wait_until};
use crate::api::{Barrier, Connection, RunQueryDsl, TransactionManager, concurrently, thread};
use crate::server::{self, Conn};

const THREADS: usize = 8;
const TIMES: usize = 250;

type Manager = <Conn as Connection>::TransactionManager;

#[server_test]
async fn acquire_inside_open_transaction_is_refused(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    let conn = &mut db.conn().await;
    conn.transaction(async |conn| {
        let run = counter
            .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
            .await;
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        let run = counter
            .lock()
            .transaction(conn, async |_, _| Ok::<_, LockError>(()))
            .await;
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        let guard = name
            .lock()
            .try_acquire(conn)
            .await
            .map(|guard| guard.is_some());
        assert!(
            matches!(guard, Err(LockError::OpenTransaction { .. })),
            "{guard:?}"
        );
        let guard = name
            .lock()
            .timeout(std::time::Duration::from_millis(20))
            .acquire(conn)
            .await;
        assert!(
            matches!(guard, Err(LockError::OpenTransaction { .. })),
            "{guard:?}"
        );
        drop(guard);
        db.assert_free(&name).await;
        QueryResult::Ok(())
    })
    .await
    .unwrap();
    // The connection is still usable.
    counter.with_lock(conn, Counter::add_one).await.unwrap();
}

#[server_test]
async fn savepoint_in_a_test_transaction_is_refused(db: &Db) {
    let mut counter = db.counter(1).await;
    let conn = &mut db.conn().await;
    conn.begin_test_transaction().await.unwrap();
    conn.transaction(async |conn| {
        let run = counter
            .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
            .await;
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        QueryResult::Ok(())
    })
    .await
    .unwrap();
    counter
        .lock()
        .transaction(conn, async |counter, conn| {
            counter.with_lock(conn, Counter::add_one).await
        })
        .await
        .expect("held already, so re-entrant at any depth");
}

/// Runs `increment` on all threads at once, each with a connection. Returns the counter's value.
#[both]
async fn race(db: &Db, increment: impl AsyncFn(&mut Conn) + Sync) -> i64 {
    let start = Barrier::new(THREADS);
    concurrently(THREADS, async |_| {
        let conn = &mut db.conn().await;
        start.wait().await;
        for _ in 0..TIMES {
            increment(conn).await;
        }
    })
    .await;
    db.value(1).await
}

#[server_test]
async fn transaction_under_the_lock_keeps_every_increment(db: &Db) {
    let counter = db.counter(1).await;
    let total = race(db, async |conn| {
        counter
            .clone()
            .lock()
            .transaction(conn, Counter::add_one)
            .await
            .unwrap();
    })
    .await;
    assert_eq!(total, 2_000);
}

/// The negative control: the same increments, released one statement too early.
#[server_test]
async fn release_before_commit_loses_increments(db: &Db) {
    let counter = db.counter(1).await;
    let name = db.full_name(&counter.lock_name());
    let total = race(db, async |conn| {
        server::wait_and_acquire(conn, &name).await.unwrap();
        // The release is inside the transaction, which is too early. A server that refuses the
        // update loses one of two increments too.
        let written = conn
            .transaction(async |conn| {
                let value: i64 = counters::table
                    .find(1)
                    .select(counters::value)
                    .get_result(conn)
                    .await?;
                diesel::update(&counter)
                    .set(counters::value.eq(value + 1))
                    .execute(conn)
                    .await?;
                server::release(conn, &name).await
            })
            .await;
        if let Err(refused) = written {
            assert!(server::is_snapshot_conflict(&refused), "{refused}");
            server::release(conn, &name).await.unwrap();
        }
    })
    .await;
    assert!(
        total < 2_000,
        "no increment was lost: the threads did not race"
    );
}

#[server_test]
async fn error_rolls_back_and_then_releases(db: &Db) {
    let mut counter = db.counter(1).await;
    let conn = &mut db.conn().await;
    let run = counter
        .lock()
        .transaction(conn, async |counter, conn| {
            counter.add_one(conn).await?;
            Err::<(), _>(DieselError::RollbackTransaction)
        })
        .await;
    assert_eq!(run, Err(DieselError::RollbackTransaction));
    assert_eq!(db.value(1).await, 0);
    assert_eq!(
        counter.value, 1,
        "the caller's model keeps the changes of the closure"
    );
    db.assert_free(&counter.lock_name()).await;
    counter
        .lock()
        .transaction(conn, Counter::add_one)
        .await
        .unwrap();
    assert_eq!(db.value(1).await, 1);
}

#[server_test]
async fn panic_rolls_back_and_then_releases(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    let conn = &mut db.conn().await;
    assert!(
        panics(async || {
            counter
                .lock()
                .transaction(conn, async |counter, conn| -> QueryResult<()> {
                    counter.add_one(conn).await?;
                    resume_unwind(Box::new("on purpose"))
                })
                .await
        })
        .await
    );
    db.assert_free_after_drop(&name).await;
    assert_eq!(db.value(1).await, 0);
    db.after_drop(conn).await;
    let mut again = Counter { id: 1, value: 0 };
    again
        .lock()
        .transaction(conn, Counter::add_one)
        .await
        .expect("the connection is usable");
}

/// A session that waits for the lock sees the committed row as soon as it acquires the lock.
#[server_test]
async fn commit_precedes_the_release(db: &Db) {
    let counter = db.counter(1).await;
    let name = counter.lock_name();
    for round in 1..=100 {
        thread::scope(async |scope| {
            let other = &mut db.conn().await;
            let writer = scope.spawn(async || {
                counter
                    .clone()
                    .lock()
                    .transaction(&mut db.conn().await, Counter::add_one)
                    .await
            });
            wait_until("the writer has or had the lock", async || {
                writer.is_finished() || db.holder(&name).await.is_some()
            })
            .await;
            let seen = name
                .lock()
                .run(other, async |_, conn| {
                    counters::table
                        .find(1)
                        .select(counters::value)
                        .get_result::<i64>(conn)
                        .await
                })
                .await;
            assert_eq!(seen, Ok(round));
            writer.join().await.unwrap().unwrap();
        })
        .await;
    }
}

#[server_test]
async fn transaction_left_open_is_rolled_back_and_reported(db: &Db) {
    let mut counter = db.counter(1).await;
    let conn = &mut db.conn().await;
    let run: Result<_, LockError> = counter
        .with_lock(conn, async |counter, conn| {
            Manager::begin_transaction(conn).await.unwrap();
            counter.value = 9;
            counter.save(conn).await.unwrap();
            Ok(())
        })
        .await;
    assert!(
        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
        "{run:?}"
    );
    assert_eq!(db.value(1).await, 0);
    db.assert_free(&counter.lock_name()).await;
    counter
        .with_lock(conn, Counter::add_one)
        .await
        .expect("the connection is clean");
    assert_eq!(db.value(1).await, 1);
}

#[server_test]
async fn savepoint_left_open_in_a_transaction_is_reported(db: &Db) {
    let mut counter = db.counter(1).await;
    let conn = &mut db.conn().await;
    let run: Result<_, LockError> = counter
        .lock()
        .transaction(conn, async |counter, conn| {
            Manager::begin_transaction(conn).await.unwrap();
            counter.value = 9;
            counter.save(conn).await.unwrap();
            Ok(())
        })
        .await;
    assert!(
        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
        "{run:?}"
    );
    assert_eq!(db.value(1).await, 0);
    db.assert_free(&counter.lock_name()).await;
    counter
        .lock()
        .transaction(conn, Counter::add_one)
        .await
        .expect("the connection is clean");
}

#[server_test]
async fn guard_reports_a_transaction_left_open(db: &Db) {
    let mut counter = db.counter(1).await;
    let conn = &mut db.conn().await;
    let mut held = counter.lock().acquire(conn).await.unwrap();
    Manager::begin_transaction(&mut *held).await.unwrap();
    counter.add_one(&mut held).await.unwrap();
    let released = held.release().await;
    assert!(
        matches!(released, Err(LockError::TransactionLeftOpen { .. })),
        "{released:?}"
    );
    assert_eq!(db.value(1).await, 0);
    db.assert_free(&counter.lock_name()).await;
}

#[server_test]
async fn dropped_guard_rolls_back_a_transaction_left_open(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    let conn = &mut db.conn().await;
    let mut held = counter.lock().acquire(conn).await.unwrap();
    Manager::begin_transaction(&mut *held).await.unwrap();
    counter.add_one(&mut held).await.unwrap();
    drop(held);
    db.assert_free_after_drop(&name).await;
    assert_eq!(db.value(1).await, 0);
    db.after_drop(conn).await;
    conn.transaction(async |conn| counter.add_one(conn).await)
        .await
        .unwrap();
}

#[server_test]
async fn error_with_a_transaction_left_open_returns_the_closures_error(db: &Db) {
    let mut counter = db.counter(1).await;
    let conn = &mut db.conn().await;
    let run = counter
        .with_lock(conn, async |counter, conn| {
            Manager::begin_transaction(conn).await?;
            counter.add_one(conn).await?;
            Err::<(), _>(DieselError::RollbackTransaction)
        })
        .await;
    assert_eq!(run, Err(DieselError::RollbackTransaction));
    assert_eq!(db.value(1).await, 0);
    db.assert_free(&counter.lock_name()).await;
}

#[server_test]
async fn transaction_ended_by_the_closure_returns_database_error(db: &Db) {
    let mut counter = db.counter(1).await;
    let run: Result<(), LockError> = counter
        .lock()
        .transaction(&mut db.conn().await, async |_, conn| {
            Manager::commit_transaction(conn).await.unwrap();
            Ok(())
        })
        .await;
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
    db.assert_free(&counter.lock_name()).await;
}

#[server_test]
async fn broken_transaction_manager_is_rolled_back_and_reported(db: &Db) {
    let mut counter = db.counter(1).await;
    let conn = &mut db.conn().await;
    let run: Result<(), LockError> = counter
        .with_lock(conn, async |counter, conn| {
            Manager::begin_transaction(conn).await.unwrap();
            counter.add_one(conn).await.unwrap();
            Manager::transaction_manager_status_mut(conn).set_in_error();
            Ok(())
        })
        .await;
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
    db.assert_free(&counter.lock_name()).await;
    // No row lock is left either, although the connection stays open.
    counter
        .lock()
        .transaction(&mut db.conn().await, Counter::add_one)
        .await
        .unwrap();
    assert_eq!(db.value(1).await, 1);
}
