//! A lost lock is reported, and so is what ended a wait: a killed statement or session, or a
//! deadlock.

use std::time::{Duration, Instant};

use diesel::IntoSql;
use diesel::result::Error as DieselError;
use diesel::sql_types::BigInt;
use diesel_advisory_lock_async::Outcome;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, deadpool};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use server_test::server_test;

use super::outcomes::Form;
use super::support::{Counter, Db, poll_times};
use crate::server::{self, Conn};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Kill,
    /// Raw SQL releases the lock, and another session acquires it.
    Theft,
    Swap,
}

impl Loss {
    async fn inflict(self, db: &Db, conn: &mut Conn, thief: &mut Conn) {
        match self {
            Loss::Kill => db.kill_session(server::session_id(conn).await).await,
            Loss::Theft => {
                let name = Counter::stale(1).lock_name();
                db.release_raw(conn, &name).await;
                std::mem::forget(name.lock().acquire(thief).await.unwrap());
            }
            Loss::Swap => *conn = db.conn().await,
        }
    }
}

#[server_test]
fn lock_lost_during_the_body_is_reported_by_every_form(db: &Db) {
    db.run(async {
        db.counter(1).await;
        let name = Counter::stale(1).lock_name();
        for form in Form::ALL {
            for loss in [Loss::Kill, Loss::Theft, Loss::Swap] {
                // The transaction holds its lock until its end, in spite of raw SQL.
                if loss == Loss::Theft && !form.has_lock_of_session() {
                    continue;
                }
                let before = db.value(1).await;
                let (mut conn, mut thief) = (db.conn().await, db.conn().await);
                let ran = form.run(&mut conn, async |(), conn: &mut Conn| {
                    loss.inflict(db, conn, &mut thief).await;
                });
                let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
                let of = format!("{form:?}, {loss:?}: {error:?}");
                drop(thief);
                db.wait_until_free(&name).await;
                let written = db.value(1).await - before;
                match form.is_transaction() {
                    // Without a lock of the session, nothing asks it before the COMMIT.
                    true if loss == Loss::Kill && !form.has_lock_of_session() => {
                        assert!(matches!(error, LockError::CommitUnknown { .. }), "{of}");
                        assert_eq!(written, 0, "{of}");
                    }
                    true => {
                        assert!(matches!(error, LockError::Lost { .. }), "{of}");
                        assert_eq!((error.outcome(), written), (Outcome::RolledBack, 0), "{of}");
                    }
                    false => {
                        assert!(matches!(error, LockError::Lost { .. }), "{of}");
                        assert_eq!((error.outcome(), written), (Outcome::Ran, 1), "{of}");
                    }
                }
            }
        }
    });
}

#[server_test]
fn loss_does_not_mask_the_error_of_the_body(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let ran = LockName::named("job")
            .lock()
            .run(&mut conn, async |_, conn| {
                db.kill_session(server::session_id(conn).await).await;
                Err::<(), _>(DieselError::NotFound)
            });
        assert_eq!(ran.await, Err(DieselError::NotFound));
    });
}

/// Runs `disturb` on a session that waits for a lock, and returns the result of the wait.
async fn disturb_a_waiter(
    db: &Db,
    in_transaction: bool,
    disturb: impl AsyncFnOnce(i64),
) -> (Conn, LockError) {
    let name = LockName::named("job");
    let (mut holder, mut waiter) = (db.conn().await, db.conn().await);
    let session = server::session_id(&mut waiter).await;
    let held = name.lock().acquire(&mut holder).await.unwrap();
    let lock = name.lock();
    let waiting = async {
        match in_transaction {
            true => lock.transaction(&mut waiter, async |_, _| Ok(())).await,
            false => lock.acquire(&mut waiter).await.map(drop),
        }
    };
    let disturbing = async {
        db.wait_until_sessions_wait(1).await;
        disturb(session).await;
    };
    let (waited, ()) = futures_util::future::join(waiting, disturbing).await;
    held.release().await.unwrap();
    let error: LockError = waited.unwrap_err();
    db.wait_until_free(&name).await;
    (waiter, error)
}

#[server_test]
fn killing_the_waiting_statement_returns_interrupted(db: &Db) {
    db.run(async {
        for in_transaction in [false, true] {
            let (mut waiter, error) = disturb_a_waiter(db, in_transaction, async |session| {
                server::kill_statement(&mut db.conn().await, session).await;
            })
            .await;
            assert!(matches!(error, LockError::Interrupted { .. }), "{error:?}");
            // The connection is usable.
            let name = LockName::named("job");
            let ran = name.lock().transaction(&mut waiter, async |_, _| Ok(()));
            ran.await.map_err(|error: LockError| error).unwrap();
        }
    });
}

#[server_test]
fn killing_the_waiting_session_returns_database_error(db: &Db) {
    db.run(async {
        for in_transaction in [false, true] {
            let (_, error) = disturb_a_waiter(db, in_transaction, async |session| {
                server::kill_session(&mut db.conn().await, session).await;
            })
            .await;
            assert!(matches!(error, LockError::Database { .. }), "{error:?}");
            assert_eq!(error.outcome(), Outcome::NothingHappened);
        }
    });
}

#[server_test]
fn crossing_waits_return_deadlock_at_once(db: &Db) {
    db.run(async {
        let (a, b) = (LockName::named("a"), LockName::named("b"));
        let (mut one, mut two) = (db.conn().await, db.conn().await);
        let mut of_one = a.lock().acquire(&mut one).await.unwrap();
        let mut of_two = b.lock().acquire(&mut two).await.unwrap();
        let start = Instant::now();
        let waits = futures_util::future::join(
            async {
                let ran = b.lock().run(&mut of_one, async |_, _| Ok(())).await;
                of_one
                    .release()
                    .await
                    .expect("the victim keeps what it held");
                ran
            },
            async {
                let ran = a.lock().run(&mut of_two, async |_, _| Ok(())).await;
                of_two
                    .release()
                    .await
                    .expect("the victim keeps what it held");
                ran
            },
        );
        let (first, second) = waits.await;
        assert!(start.elapsed() < Duration::from_secs(10));
        // Servers choose different victims.
        let (refused, granted): (Result<(), LockError>, Result<(), LockError>) = match first {
            Err(_) => (first, second),
            Ok(()) => (second, first),
        };
        assert!(
            matches!(refused, Err(LockError::Deadlock { .. })),
            "{refused:?}"
        );
        granted.unwrap();
        db.assert_free(&a).await;
        db.assert_free(&b).await;
    });
}

#[server_test]
fn connection_refuses_locks_after_a_cut(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let name = LockName::named("job");
        let call = name.lock().run(&mut conn, async |_, conn| {
            conn.batch_execute(server::SLEEP).await
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(100), call)
                .await
                .is_err()
        );
        db.wait_until_free(&name).await;
        let error = name.lock().acquire(&mut conn).await.unwrap_err();
        let LockError::Database {
            source: DieselError::BrokenTransactionManager,
            ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!(error.outcome(), Outcome::NothingHappened);
        let text = error.to_string();
        assert!(text.contains("=job"), "{text}");
        let ran = name.lock().transaction(&mut conn, async |_, _| Ok(()));
        let error: LockError = ran.await.unwrap_err();
        assert!(matches!(error, LockError::Database { .. }), "{error:?}");
    });
}

/// The server may have begun the transaction.
#[server_test]
fn connection_refuses_locks_after_a_begin_that_was_cut(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        // The server may answer during the first poll.
        loop {
            let begin = AnsiTransactionManager::begin_transaction(&mut conn);
            if poll_times(begin, 1).await.is_none() {
                break;
            }
            conn = db.conn().await;
        }
        let name = LockName::named("job");
        let error = name.lock().acquire(&mut conn).await.unwrap_err();
        assert!(
            matches!(
                &error,
                LockError::Database {
                    source: DieselError::BrokenTransactionManager,
                    ..
                }
            ),
            "{error:?}"
        );
        let ran = name.lock().transaction(&mut conn, async |_, _| Ok(()));
        let error: LockError = ran.await.unwrap_err();
        assert!(matches!(error, LockError::Database { .. }), "{error:?}");
        db.assert_free(&name).await;
    });
}

/// A statement of the caller's whose future was dropped. On MySQL its answer is still to come, and
/// must not be taken for the answer to a statement of the library.
#[server_test]
fn lock_after_a_statement_that_was_cut_is_not_granted_twice(db: &Db) {
    db.run(async {
        let mut other = db.conn().await;
        let name = LockName::named("job");
        let held = name.lock().acquire(&mut other).await.unwrap();
        for answer in [0, 1, 2, 3, 5, 1 << 40 | 1] {
            for polls in 1..4 {
                let mut conn = db.conn().await;
                // All statements are prepared.
                let prepared = LockName::named("other").lock().acquire(&mut conn).await;
                prepared.unwrap().release().await.unwrap();
                let query = || diesel::select(answer.into_sql::<BigInt>());
                query().get_result::<i64>(&mut conn).await.unwrap();
                if poll_times(query().get_result::<i64>(&mut conn), polls)
                    .await
                    .is_some()
                {
                    break;
                }
                let taken = name.lock().try_acquire(&mut conn).await;
                let taken = taken.map(|held| held.map(drop));
                let is_granted = matches!(taken, Ok(Some(())));
                assert!(!is_granted, "{answer}, after {polls} polls: granted twice");
            }
        }
        held.release().await.unwrap();
    });
}

/// The body drops the future of a statement. On MySQL the connection then has an answer to come, so
/// the release is not confirmed, and no pool hands out the connection.
#[server_test]
fn statement_that_the_body_drops_leaves_nothing_behind(db: &Db) {
    db.run(async {
        db.counter(1).await;
        let name = Counter::stale(1).lock_name();
        for form in Form::ALL {
            let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
            let pool = deadpool::Pool::builder(manager);
            let pool = pool.max_size(1).build().unwrap();
            let mut conn = pool.get().await.unwrap();
            let before = db.value(1).await;
            let ran = form.run(&mut conn, async |(), conn: &mut Conn| {
                let query = diesel::select(1.into_sql::<BigInt>());
                let query = query.get_result::<i64>(conn);
                // On PostgreSQL another thread reads the answer, which may be there already.
                drop(poll_times(query, 1).await);
            });
            let result = ran.await;
            drop(conn);
            db.wait_until_free(&name).await;
            let written = db.value(1).await - before;
            match result {
                Ok(()) => assert_eq!(written, 1, "{form:?}"),
                Err(error) => {
                    let error = LockError::try_from(error).unwrap();
                    assert!(
                        matches!(error, LockError::Lost { .. }),
                        "{form:?}: {error:?}"
                    );
                    let is_undone = error.outcome() == Outcome::RolledBack;
                    assert_eq!(written, i64::from(!is_undone), "{form:?}: {error:?}");
                }
            }
            let mut conn = pool.get().await.unwrap();
            for answer in 1..5 {
                let query = diesel::select(answer.into_sql::<BigInt>());
                assert_eq!(
                    query.get_result::<i64>(&mut conn).await,
                    Ok(answer),
                    "{form:?}"
                );
            }
        }
    });
}

#[server_test]
fn connection_that_was_lost_is_discarded_by_the_pool(db: &Db) {
    db.run(async {
        let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
        let pool = deadpool::Pool::builder(manager)
            .max_size(1)
            .build()
            .unwrap();
        db.counter(1).await;
        let mut conn = pool.get().await.unwrap();
        let ran = Form::TryTransaction.run(&mut conn, async |(), conn: &mut Conn| {
            db.release_raw(conn, &Counter::stale(1).lock_name()).await;
        });
        let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
        assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
        drop(conn);
        let mut conn = pool.get().await.unwrap();
        Form::TryTransaction
            .run(&mut conn, async |(), _: &mut Conn| {})
            .await
            .unwrap();
        assert_eq!(db.value(1).await, 1);
    });
}

#[server_test]
fn locks_work_in_a_test_transaction(db: &Db) {
    db.run(async {
        db.counter(1).await;
        let name = Counter::stale(1).lock_name();
        for form in Form::ALL {
            let mut conn = db.conn().await;
            conn.begin_test_transaction().await.unwrap();
            for value in 1..=2 {
                let ran = form.run(&mut conn, async |(), _: &mut Conn| {
                    assert!(db.holder(&name).await.is_some(), "{form:?}");
                });
                ran.await
                    .unwrap_or_else(|error| panic!("{form:?}: {error:?}"));
                db.assert_free(&name).await;
                let mut counter = Counter::stale(1);
                let seen = counter.with_lock(&mut conn, async |counter, _| {
                    Ok::<_, LockError>(counter.value)
                });
                assert_eq!(seen.await.unwrap(), value, "{form:?}");
                assert_eq!(db.value(1).await, 0, "{form:?} has committed");
            }
        }
    });
}

#[server_test]
fn transaction_that_the_body_leaves_open_is_rolled_back(db: &Db) {
    db.run(async {
        db.counter(1).await;
        for form in Form::ALL {
            let mut conn = db.conn().await;
            let ran = form.run(&mut conn, async |(), conn: &mut Conn| {
                AnsiTransactionManager::begin_transaction(&mut *conn)
                    .await
                    .unwrap();
                Counter { id: 1, value: 8 }.add_one(conn).await.unwrap();
            });
            let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
            assert!(
                matches!(error, LockError::TransactionLeftOpen { .. }),
                "{form:?}: {error:?}"
            );
            // Without a transaction of the library's, the first addition was committed.
            let expected = i64::from(!form.is_transaction());
            assert_eq!(db.value(1).await, expected, "{form:?}");
            db.assert_free(&Counter::stale(1).lock_name()).await;
            let reset = "UPDATE counters SET value = 0 WHERE id = 1";
            conn.batch_execute(reset).await.unwrap();
            assert_eq!(db.value(1).await, 0, "{form:?}");
        }
    });
}
