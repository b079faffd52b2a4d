//! Guarantee 3: never released before COMMIT.

use std::sync::Barrier;

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_advisory_lock::prelude::*;

use crate::support::{Counter, Db, counters};

cases![
    an_open_transaction_is_refused,
    a_test_transaction_is_not,
    a_savepoint_in_a_test_transaction_is,
    a_transaction_keeps_every_increment,
    a_release_before_commit_does_not,
    an_error_rolls_back_and_then_releases,
    a_panic_rolls_back_and_then_releases,
    the_commit_comes_before_the_release,
    a_transaction_left_open_is_rolled_back_and_told,
    a_savepoint_left_open_in_a_transaction_is_told,
    a_guard_tells_of_a_transaction_left_open,
    a_dropped_guard_rolls_back_too,
    an_error_goes_before_a_transaction_left_open,
    a_transaction_ended_by_the_closure_is_an_error,
    a_connection_diesel_gave_up_is_rolled_back_and_told,
];

const THREADS: usize = 8;
const TIMES: usize = 250;

type Manager = <MysqlConnection as Connection>::TransactionManager;

fn an_open_transaction_is_refused(db: &Db) {
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
    // Nothing is wrong with the connection.
    counter.with_lock(conn, Counter::add_one).unwrap();
}

fn a_test_transaction_is_not(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    conn.begin_test_transaction().unwrap();
    counter.with_lock(conn, Counter::add_one).unwrap();
    counter.lock().transaction(conn, Counter::add_one).unwrap();
    assert_eq!(counter.value, 2);
    assert_eq!(db.value(1), 0, "the test transaction is still open");
    db.assert_free(&name);
    let held = name.lock().acquire(conn).unwrap();
    held.release()
        .expect("the test transaction is not the lock's to end");
}

fn a_savepoint_in_a_test_transaction_is(db: &Db) {
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
        .expect("held already, so it nests at any depth");
}

/// `increment` runs on its thread's connection, from all threads at once.
fn race(db: &Db, increment: impl Fn(&mut MysqlConnection) + Sync) -> i64 {
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

fn a_transaction_keeps_every_increment(db: &Db) {
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
fn a_release_before_commit_does_not(db: &Db) {
    let counter = db.counter(1);
    let name = counter.lock_name().written(&db.schema);
    let total = race(db, |conn| {
        conn.batch_execute(&format!("DO GET_LOCK('{name}', 45)"))
            .unwrap();
        // The release stands inside: too early. MariaDB from 11.6.2 on may refuse the update, instead of losing another's:
        // one of the two is missing all the same.
        let written = conn.transaction(|conn| {
            let value: i64 = counters::table
                .find(1)
                .select(counters::value)
                .get_result(conn)?;
            diesel::update(&counter)
                .set(counters::value.eq(value + 1))
                .execute(conn)?;
            conn.batch_execute(&format!("DO RELEASE_LOCK('{name}')"))
        });
        if let Err(refused) = written {
            assert!(refused.to_string().contains("changed"), "{refused}");
            conn.batch_execute(&format!("DO RELEASE_LOCK('{name}')"))
                .unwrap();
        }
    });
    assert!(total < 2_000, "no update was lost: the race is not one");
}

fn an_error_rolls_back_and_then_releases(db: &Db) {
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
        "the caller's model keeps what the closure put into it"
    );
    db.assert_free(&counter.lock_name());
    counter.lock().transaction(conn, Counter::add_one).unwrap();
    assert_eq!(db.value(1), 1);
}

fn a_panic_rolls_back_and_then_releases(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        counter.lock().transaction(conn, |counter, conn| {
            counter.add_one(conn)?;
            panic_quietly();
            QueryResult::Ok(())
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(db.value(1), 0);
    db.assert_free(&name);
    let mut again = Counter { id: 1, value: 0 };
    again
        .lock()
        .transaction(conn, Counter::add_one)
        .expect("the connection is as good as new");
}

/// Unwinds without the hook's message in the test's output.
fn panic_quietly() {
    std::panic::resume_unwind(Box::new("on purpose"));
}

/// Whoever waits for the lock finds the row as committed, however short the time in between.
fn the_commit_comes_before_the_release(db: &Db) {
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
            crate::support::until("the writer has or had the lock", || {
                writer.is_finished() || db.holder(&name).is_some()
            });
            let seen = name.lock().hold(other, |conn| {
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

fn a_transaction_left_open_is_rolled_back_and_told(db: &Db) {
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

fn a_savepoint_left_open_in_a_transaction_is_told(db: &Db) {
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

fn a_guard_tells_of_a_transaction_left_open(db: &Db) {
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

fn a_dropped_guard_rolls_back_too(db: &Db) {
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

fn an_error_goes_before_a_transaction_left_open(db: &Db) {
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

fn a_transaction_ended_by_the_closure_is_an_error(db: &Db) {
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

fn a_connection_diesel_gave_up_is_rolled_back_and_told(db: &Db) {
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
    // No row lock is left either, though the connection lives on.
    counter
        .lock()
        .transaction(&mut db.conn(), Counter::add_one)
        .unwrap();
    assert_eq!(db.value(1), 1);
}
