//! The outcome that an error reports, compared with what happened, when the connection is cut at
//! each step.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::result::Error as DieselError;
use diesel_advisory_lock_async::prelude::*;
use diesel_advisory_lock_async::{LockBody, LockSource, Outcome};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8};
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use server_test::server_test;
use test_server::Proxy;

use super::support::{Counter, Db};
use crate::server::statement::{ACQUIRE, RELEASE, RELOAD, VERIFY};
use crate::server::{self, Conn};

const BEGIN: &str = "BEGIN";
const COMMIT: &str = "COMMIT";

/// A way to add one to the first counter under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    WithLock,
    Guard,
    Transaction,
    /// The lock is acquired before BEGIN on every server.
    TryTransaction,
    SetTransaction,
}

impl Form {
    pub(crate) const ALL: [Form; 5] = [
        Form::WithLock,
        Form::Guard,
        Form::Transaction,
        Form::TryTransaction,
        Form::SetTransaction,
    ];

    pub(crate) fn is_transaction(self) -> bool {
        !matches!(self, Form::WithLock | Form::Guard)
    }

    /// Whether the session holds the lock, not the transaction.
    pub(crate) fn has_lock_of_session(self) -> bool {
        !server::TRANSACTION_HOLDS_ITS_LOCK
            || !matches!(self, Form::Transaction | Form::SetTransaction)
    }

    pub(crate) fn transactions() -> impl Iterator<Item = Form> {
        Form::ALL.into_iter().filter(|form| form.is_transaction())
    }

    /// Adds one to the first counter, and calls `then` under its lock.
    pub(crate) async fn run<S, Then>(self, conn: &mut S, then: Then) -> Result<(), DieselError>
    where
        S: LockSource<Connection = Conn>,
        Then: for<'c> LockBody<(), &'c mut Conn, (), Fut: Send>
            + for<'c> AsyncFnOnce((), &'c mut Conn)
            + Send,
    {
        let mut counter = Counter::stale(1);
        let body = async |counter: &mut Counter, conn: &mut Conn| {
            // As text: a client closes a prepared statement after its answer, and a proxy that waits
            // for the answer to COMMIT would take the answer to that for it.
            let sql = format!(
                "UPDATE counters SET value = {} WHERE id = 1",
                counter.value + 1
            );
            conn.batch_execute(&sql).await?;
            then((), conn).await;
            Ok::<_, DieselError>(())
        };
        match self {
            Form::WithLock => counter.with_lock(conn, body).await,
            Form::Guard => {
                let mut held = counter.lock().acquire(conn).await?;
                body(&mut counter, held.connection()).await?;
                Ok(held.release().await?)
            }
            Form::Transaction => counter.lock().transaction(conn, body).await,
            Form::TryTransaction => {
                let ran = counter.lock().try_transaction(conn, body).await?;
                ran.expect("it is free");
                Ok(())
            }
            Form::SetTransaction => {
                let set = lock_all((&mut counter, LockName::named("job")));
                let ran =
                    set.transaction(conn, async |(counter, _), conn| body(counter, conn).await);
                ran.await
            }
        }
    }
}

/// Cuts the connection during a call. Compares the reported outcome with what happened, and returns
/// it.
async fn cut(db: &Db, form: Form, step: &str, cut: impl FnOnce(&Proxy, &str)) -> Option<Outcome> {
    let (proxy, url) = db.proxy();
    let manager = AsyncDieselConnectionManager::<Conn>::new(url);
    let pool = bb8::Pool::builder()
        .max_size(1)
        .build(manager)
        .await
        .unwrap();
    let mut conn = pool.get().await.unwrap();
    let before = db.value(1).await;
    cut(&proxy, step);
    let ran = AtomicBool::new(false);
    let result = form
        .run(&mut conn, async |(), _: &mut Conn| {
            ran.store(true, Ordering::Relaxed)
        })
        .await;
    assert!(
        !proxy.is_to_cut(),
        "{form:?}: the call did not reach {step}"
    );
    drop(conn);
    // The session has ended, and so has its transaction.
    db.wait_until_free(&Counter::stale(1).lock_name()).await;
    let is_written = db.value(1).await > before;
    // The pool hands out a good connection.
    let mut conn = pool.get().await.unwrap();
    Form::WithLock
        .run(&mut conn, async |(), _: &mut Conn| {})
        .await
        .unwrap();
    let undo = "UPDATE counters SET value = value - 1 WHERE id = 1";
    conn.batch_execute(undo).await.unwrap();
    let Err(error) = result else {
        assert!(is_written, "{form:?} {step}");
        return None;
    };
    let error =
        LockError::try_from(error).unwrap_or_else(|error| panic!("{form:?} {step}: {error:?}"));
    let ran = ran.into_inner();
    let outcome = error.outcome();
    let is_true = match outcome {
        Outcome::NothingHappened => !ran && !is_written,
        Outcome::RolledBack => ran && !is_written,
        Outcome::Ran | Outcome::Committed => ran && is_written,
        Outcome::Unknown => ran,
        _ => false,
    };
    let truth = (ran, is_written);
    assert!(
        is_true,
        "{form:?} {step}: {truth:?} is reported as {error:?}"
    );
    assert!(
        !error.is_retryable() || !is_written,
        "{form:?} {step}: {error:?} is retried"
    );
    Some(outcome)
}

#[server_test]
fn connection_cut_before_the_body_returns_nothing_happened(db: &Db) {
    db.run(async {
        db.counter(1).await;
        for form in Form::ALL {
            let acquire = form.has_lock_of_session().then_some(ACQUIRE);
            let begin = form.is_transaction().then_some(BEGIN);
            for step in [acquire, begin, Some(RELOAD)].into_iter().flatten() {
                let outcome = cut(db, form, step, Proxy::cut_before).await;
                assert_eq!(outcome, Some(Outcome::NothingHappened), "{form:?} {step}");
                let outcome = cut(db, form, step, Proxy::cut_after).await;
                assert_eq!(outcome, Some(Outcome::NothingHappened), "{form:?} {step}");
            }
        }
    });
}

#[server_test]
fn connection_cut_before_commit_returns_rolled_back_or_unknown(db: &Db) {
    db.run(async {
        db.counter(1).await;
        for form in Form::transactions() {
            if form.has_lock_of_session() {
                let outcome = cut(db, form, VERIFY, Proxy::cut_before).await;
                assert_eq!(outcome, Some(Outcome::RolledBack), "{form:?}");
            }
            let outcome = cut(db, form, COMMIT, Proxy::cut_before).await;
            assert_eq!(outcome, Some(Outcome::Unknown), "{form:?}");
        }
        assert_eq!(db.value(1).await, 0);
    });
}

#[server_test]
fn connection_cut_after_commit_returns_unknown_or_no_error(db: &Db) {
    db.run(async {
        db.counter(1).await;
        for (form, done) in Form::transactions().zip(1..) {
            let outcome = cut(db, form, COMMIT, Proxy::cut_after).await;
            assert_eq!(outcome, Some(Outcome::Unknown), "{form:?}");
            assert_eq!(db.value(1).await, done, "{form:?}");
        }
        for form in Form::transactions().filter(|form| form.has_lock_of_session()) {
            let outcome = cut(db, form, RELEASE, Proxy::cut_before).await;
            assert_eq!(outcome, None, "{form:?}");
        }
    });
}

#[server_test]
fn connection_cut_before_the_release_of_a_run_returns_ran(db: &Db) {
    db.run(async {
        db.counter(1).await;
        for form in [Form::WithLock, Form::Guard] {
            let outcome = cut(db, form, RELEASE, Proxy::cut_before).await;
            assert_eq!(outcome, Some(Outcome::Ran), "{form:?}");
        }
    });
}

/// The session may have committed before it was ended. Without a lock, nothing asks it before the
/// COMMIT.
#[server_test]
fn session_killed_before_commit_returns_unknown(db: &Db) {
    db.run(async {
        db.counter(1).await;
        let mut conn = db.conn().await;
        let set = lock_all(Vec::<LockName>::new());
        let ran = set.transaction(&mut conn, async |_, conn| {
            Counter { id: 1, value: 0 }.add_one(conn).await?;
            db.kill_session(server::session_id(conn).await).await;
            Ok::<_, DieselError>(())
        });
        let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
        assert!(
            matches!(error, LockError::CommitUnknown { .. }),
            "{error:?}"
        );
        assert_eq!(db.value(1).await, 0);
    });
}

/// The body has released the savepoint of its transaction.
#[server_test]
fn savepoint_that_is_not_released_is_rolled_back(db: &Db) {
    db.run(async {
        db.counter(1).await;
        let mut conn = db.conn().await;
        conn.begin_test_transaction().await.unwrap();
        let ran = Form::TryTransaction.run(&mut conn, async |(), conn: &mut Conn| {
            let released = conn.batch_execute("RELEASE SAVEPOINT diesel_savepoint_1");
            released.await.unwrap();
        });
        let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
        assert_eq!(error.outcome(), Outcome::RolledBack, "{error:?}");
        // Nothing of it is left in the transaction around it.
        let error = Counter::stale(1)
            .lock()
            .acquire(&mut conn)
            .await
            .unwrap_err();
        assert!(matches!(error, LockError::Database { .. }), "{error:?}");
        db.wait_until_free(&Counter::stale(1).lock_name()).await;
        assert_eq!(db.value(1).await, 0);
    });
}
