//! `.transaction` at READ COMMITTED, whose lock is the transaction's, and above it, whose lock is the
//! session's.

use std::sync::Barrier;
use std::thread;

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::{self, Conn, session_id};
use crate::suite::support::{Counter, Db, Form, Path, counters};

type Manager = <Conn as Connection>::TransactionManager;

const THREADS: usize = 8;
const TIMES: usize = 100;

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
}

/// Runs `increment` 800 times on eight connections at once. Returns the counter's value.
fn race(db: &Db, increment: impl Fn(&mut Conn) + Sync) -> i64 {
    db.execute("INSERT INTO counters VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET value = 0");
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
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
fn all_of_800_increments_are_kept_by_each_form(db: &Db) {
    let with_lock = race(db, |conn| {
        counter().with_lock(conn, Counter::add_one).unwrap();
    });
    assert_eq!(with_lock, 800);
    let until_commit = race(db, |conn| {
        conn.transaction(|conn| {
            let mut counter = counter();
            counter.lock().until_commit(conn)?;
            counter.add_one(conn)
        })
        .unwrap();
    });
    assert_eq!(until_commit, 800);
    let locks = &db.locks(4);
    let pooled = race(db, |_| {
        locks.run(counter().lock(), Counter::add_one).unwrap();
    });
    assert_eq!(pooled, 800);
    let pooled = race(db, |_| {
        locks
            .transaction(counter().lock(), Counter::add_one)
            .unwrap();
    });
    assert_eq!(pooled, 800);
}

fn transactions(db: &Db) -> i64 {
    race(db, |conn| {
        counter()
            .lock()
            .transaction(conn, Counter::add_one)
            .unwrap();
    })
}

#[server_test]
fn all_of_800_transactions_are_kept_at_every_isolation_level(db: &Db) {
    for level in ["read committed", "repeatable read", "serializable"] {
        db.execute(&format!(
            "ALTER DATABASE {} SET default_transaction_isolation = '{level}'",
            db.schema
        ));
        assert_eq!(transactions(db), 800, "{level}");
    }
}

/// The negative control: the lock is released just before the COMMIT.
#[server_test]
fn release_before_commit_loses_increments(db: &Db) {
    let total = race(db, |conn| {
        let increment = conn.transaction(|conn| {
            conn.batch_execute("SELECT pg_advisory_lock(42)")?;
            let mut counter: Counter = counters::table.find(1).first(conn)?;
            counter.add_one(conn)?;
            conn.batch_execute("SELECT pg_advisory_unlock(42), pg_sleep(0.001)")
        });
        increment.unwrap();
    });
    assert!(total < 800, "{total}");
}

/// The lock is the transaction's: `pg_advisory_unlock` does not release it.
#[server_test]
fn raw_release_does_not_release_the_lock_of_a_transaction(db: &Db) {
    let name = db.counter(1).lock_name();
    let run = counter()
        .lock()
        .transaction(&mut db.conn(), |counter, conn| {
            db.release_raw(conn, &name);
            server::release_all(conn)?;
            assert_eq!(db.holder(&name), Some(session_id(conn)));
            counter.add_one(conn)
        });
    assert_eq!(run, Ok(1));
    db.assert_free(&name);
}

#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Another transaction is open at the end, without the lock.
    RollBackAndBegin,
    CommitAndBegin,
    Swap,
    SwapWithTransaction,
}

#[server_test]
fn transaction_without_its_lock_does_not_commit_on_any_path(db: &Db) {
    db.counter(1);
    let other = db.counter(2);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        for loss in [
            Loss::RollBackAndBegin,
            Loss::CommitAndBegin,
            Loss::Swap,
            Loss::SwapWithTransaction,
        ] {
            let of = format!("{path:?}, {loss:?}");
            db.execute("UPDATE counters SET value = 0");
            let run = path.run_once(db, &mut counter(), |counter, conn| {
                match loss {
                    Loss::RollBackAndBegin => conn.batch_execute("ROLLBACK; BEGIN").unwrap(),
                    Loss::CommitAndBegin => conn.batch_execute("COMMIT; BEGIN").unwrap(),
                    Loss::Swap => *conn = db.conn(),
                    Loss::SwapWithTransaction => {
                        let mut swapped = db.conn();
                        Manager::begin_transaction(&mut swapped).unwrap();
                        other.clone().add_one(&mut swapped).unwrap();
                        *conn = swapped;
                    }
                }
                if !matches!(loss, Loss::Swap | Loss::SwapWithTransaction) {
                    counter.add_one(conn).unwrap();
                }
                Ok(())
            });
            let is_swap = matches!(loss, Loss::Swap | Loss::SwapWithTransaction);
            let is_try = matches!(path.form, Form::TryTransaction | Form::TrySetTransaction);
            if is_try && !is_swap {
                // Its lock is the session's, which has held it throughout.
                run.expect(&of);
                continue;
            }
            let error = run.expect_err(&of);
            assert!(
                matches!(error, LockError::Lost { .. } | LockError::Database { .. }),
                "{of}: {error:?}"
            );
            assert_eq!((db.value(1), db.value(2)), (0, 0), "{of}");
            db.wait_until_free(&counter().lock_name());
        }
    }
}

/// Each transaction is marked by a number of its own. The inner COMMIT would release the outer lock
/// before the outer closure has ended.
#[server_test]
fn transactions_of_two_locks_that_are_swapped_are_not_committed(db: &Db) {
    let counter = db.counter(1);
    let (outer, inner) = (LockName::named("outer"), LockName::named("inner"));
    let other = &mut db.conn();
    let run = outer.lock().transaction(&mut db.conn(), |_, conn| {
        let run = inner.lock().transaction(other, |_, other| {
            std::mem::swap(conn, other);
            Ok::<_, LockError>(())
        });
        assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
        counter.clone().add_one(conn).unwrap();
        Ok::<_, LockError>(())
    });
    assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
    assert_eq!(db.value(1), 0);
    db.wait_until_free(&outer);
    db.wait_until_free(&inner);
}

/// The server may have committed before it ended the session, so the outcome is unknown, unless the
/// session was asked for a proof first.
#[server_test]
fn session_killed_before_commit_returns_unknown_or_rolled_back(db: &Db) {
    db.counter(1);
    for path in Path::essential_transactions() {
        let run = path.run_once(db, &mut counter(), |counter, conn| {
            counter.add_one(conn).unwrap();
            db.kill_session(session_id(conn));
            Ok(())
        });
        let error = run.unwrap_err();
        let is_lost = matches!(error, LockError::Lost { .. });
        let expected = match is_lost {
            true => Outcome::RolledBack,
            false => Outcome::Unknown,
        };
        assert_eq!(error.outcome(), expected, "{path:?}: {error:?}");
        assert_eq!(db.value(1), 0, "{path:?}");
        db.wait_until_free(&counter().lock_name());
    }
}

/// A COMMIT would roll back, and report success.
#[server_test]
fn closure_that_hides_a_failed_statement_returns_an_error(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        let mut client = path.client(db);
        let run = client.run(&mut counter(), |counter, conn| {
            counter.add_one(conn).unwrap();
            drop(conn.batch_execute("SELECT 1 / 0"));
            Ok(())
        });
        let error = run.unwrap_err();
        assert_eq!(error.outcome(), Outcome::RolledBack, "{path:?}: {error:?}");
        assert_eq!(db.value(1), 0, "{path:?}");
        client.assert_nothing_left(db, &format!("{path:?}"));
        client.run(&mut counter(), |_, _| Ok(())).unwrap();
    }
}

#[server_test]
fn deferred_constraint_that_fails_at_commit_is_rolled_back(db: &Db) {
    db.counter(1);
    db.execute(
        "CREATE TABLE entries (counter BIGINT REFERENCES counters (id) \
         DEFERRABLE INITIALLY DEFERRED)",
    );
    for level in ["read committed", "repeatable read"] {
        db.execute(&format!(
            "ALTER DATABASE {} SET default_transaction_isolation = '{level}'",
            db.schema
        ));
        for path in Path::essential_transactions() {
            let mut client = path.client(db);
            let run = client.run(&mut counter(), |counter, conn| {
                counter.add_one(conn).unwrap();
                conn.batch_execute("INSERT INTO entries VALUES (99)")
                    .unwrap();
                Ok(())
            });
            let Err(LockError::Database {
                source: DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _),
                outcome: Outcome::RolledBack,
                ..
            }) = run
            else {
                panic!("{path:?}: {run:?}");
            };
            assert_eq!(db.value(1), 0, "{path:?}");
            client.assert_nothing_left(db, &format!("{path:?}"));
            client.run(&mut counter(), |_, _| Ok(())).unwrap();
        }
    }
}

/// A lock that the session holds is not acquired again by the transaction that begins.
#[server_test]
fn transaction_under_a_lock_of_the_session_is_reentrant(db: &Db) {
    let mut outer = db.counter(1);
    let conn = &mut db.conn();
    let run: QueryResult<()> = outer.with_lock(conn, |counter, conn| {
        counter.value = 40;
        counter.lock().transaction(conn, |counter, conn| {
            assert_eq!(counter.value, 40, "its unsaved change was overwritten");
            counter.add_one(conn)
        })?;
        Ok(())
    });
    run.unwrap();
    assert_eq!(db.value(1), 41);
    let mut held = outer.lock_name().lock().acquire(conn).unwrap();
    outer
        .lock()
        .transaction(&mut held, Counter::add_one)
        .unwrap();
    assert!(
        db.holder(&outer.lock_name()).is_some(),
        "the guard holds it"
    );
    held.release().unwrap();
    assert_eq!(db.value(1), 42);
}

/// The limits of the session are lifted for the wait alone.
#[server_test]
fn limits_of_the_session_are_back_after_the_wait(db: &Db) {
    db.counter(1);
    let conn = &mut db.conn();
    conn.batch_execute("SET lock_timeout = '7s'; SET statement_timeout = '8s'")
        .unwrap();
    let shown = |conn: &mut Conn| -> (String, String) {
        let show = |conn: &mut Conn, name: &str| {
            diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(&format!(
                "current_setting('{name}')"
            )))
            .get_result(conn)
            .unwrap()
        };
        (show(conn, "lock_timeout"), show(conn, "statement_timeout"))
    };
    let expected = || ("7s".to_owned(), "8s".to_owned());
    counter()
        .lock()
        .transaction(conn, |_, conn| {
            assert_eq!(shown(conn), expected());
            QueryResult::Ok(())
        })
        .unwrap();
    conn.transaction(|conn| {
        counter().lock().until_commit(conn)?;
        assert_eq!(shown(conn), expected());
        QueryResult::Ok(())
    })
    .unwrap();
    assert_eq!(shown(conn), expected());
    thread::scope(|scope| {
        let mut holder = db.conn();
        let held = counter().lock_name().lock().acquire(&mut holder).unwrap();
        let session = session_id(conn);
        scope.spawn(|| {
            conn.transaction(|conn| {
                counter().lock().until_commit(conn)?;
                assert_eq!(shown(conn), expected());
                QueryResult::Ok(())
            })
            .unwrap();
        });
        db.wait_until_blocked(session);
        held.release().unwrap();
    });
    assert_eq!(shown(conn), expected());
}

/// The session's record of the lock is confirmed by the server's list of this lock, not of others.
#[server_test]
fn lock_that_raw_sql_released_is_refused_in_a_transaction_beside_another_lock(db: &Db) {
    let (one, other) = (LockName::named("one"), LockName::named("other"));
    let conn = &mut db.conn();
    let run = one.lock().run(conn, |_, conn| {
        let lost = other.lock().run(conn, |_, conn| {
            crate::server::release(conn, &other.full_name("")).unwrap();
            let nested = conn.transaction(|conn| {
                QueryResult::Ok(other.lock().run(conn, |_, _| Ok::<_, LockError>(())))
            });
            assert!(
                matches!(nested, Ok(Err(LockError::OpenTransaction { .. }))),
                "{nested:?}"
            );
            Ok::<_, LockError>(())
        });
        assert!(matches!(lost, Err(LockError::Lost { .. })), "{lost:?}");
        Ok::<_, LockError>(())
    });
    // The session was ended, with the first lock.
    assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
}

/// The transaction around the savepoint cannot have been committed.
#[server_test]
fn savepoint_that_fails_with_its_session_is_rolled_back(db: &Db) {
    let mut counter = db.counter(1);
    let mut inner_error = None;
    let run = counter.lock().transaction(&mut db.conn(), |counter, conn| {
        counter.add_one(conn).unwrap();
        let inner: Result<(), LockError> = counter.lock().transaction(conn, |_, conn| {
            db.kill_session(session_id(conn));
            Ok(())
        });
        inner_error = inner.err();
        Ok::<_, LockError>(())
    });
    for error in [inner_error, run.err()] {
        let error = error.unwrap();
        assert_eq!(error.outcome(), Outcome::RolledBack, "{error:?}");
    }
    assert_eq!(db.value(1), 0);
    db.wait_until_free(&counter.lock_name());
}

/// The server answers the COMMIT of an aborted transaction with success. Without a lock, nothing
/// else is asked before it.
#[server_test]
fn aborted_transaction_of_an_empty_set_is_not_reported_as_committed(db: &Db) {
    db.counter(1);
    let conn = &mut db.conn();
    let empty = || lock_all(Vec::<LockName>::new());
    let run = empty().transaction(conn, |_, conn| {
        counter().add_one(conn)?;
        conn.batch_execute("SELECT 1 / 0").unwrap_err();
        QueryResult::Ok(())
    });
    let error = LockError::try_from(run.unwrap_err()).unwrap();
    assert_eq!(error.outcome(), Outcome::RolledBack, "{error:?}");
    assert_eq!(db.value(1), 0);
    let run = empty().transaction(conn, |_, conn| {
        conn.batch_execute("UPDATE counters SET value = 5")
    });
    run.unwrap();
    assert_eq!(db.value(1), 5);
}
