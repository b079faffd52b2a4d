//! What only PostgreSQL has: locks until COMMIT, and shared locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::connection::InstrumentationEvent;
use diesel_advisory_lock_async::Outcome;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use server_test::server_test;

use crate::server::{self, Conn};
use crate::suite::outcomes::Form;
use crate::suite::support::{Counter, Db};

#[server_test]
fn lock_until_commit_ends_with_the_transaction(db: &Db) {
    db.run(async {
        let (mut conn, mut other) = (db.conn().await, db.conn().await);
        let mut counter = db.counter(1).await;
        let name = counter.lock_name();
        conn.transaction(async |conn| {
            counter.lock().until_commit(conn).await?;
            counter.value += 1;
            counter.save(conn).await?;
            let taken = name
                .lock()
                .try_run(&mut other, async |_, _| Ok::<_, LockError>(()));
            assert!(taken.await?.is_none());
            diesel::QueryResult::Ok(())
        })
        .await
        .unwrap();
        db.assert_free(&name).await;
        assert_eq!(db.value(1).await, 1);
    });
}

#[server_test]
fn lock_until_commit_without_a_transaction_is_refused(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let name = LockName::named("job");
        let error = name.lock().until_commit(&mut conn).await.unwrap_err();
        assert!(
            matches!(error, LockError::NoTransaction { .. }),
            "{error:?}"
        );
        db.assert_free(&name).await;
        // Nor is an open one mistaken, which diesel-async does not know of.
        conn.batch_execute("BEGIN").await.unwrap();
        name.lock().until_commit(&mut conn).await.unwrap();
        assert!(db.holder(&name).await.is_some());
        conn.batch_execute("COMMIT").await.unwrap();
        db.assert_free(&name).await;
    });
}

#[server_test]
fn readers_share_a_lock_and_exclude_a_writer(db: &Db) {
    db.run(async {
        let (mut one, mut two, mut three) = (db.conn().await, db.conn().await, db.conn().await);
        let name = LockName::named("report");
        let run = name.lock().shared().run(&mut one, async |_, _: &mut Conn| {
            let shared = name.lock().shared().try_acquire(&mut two).await?;
            let exclusive = name.lock().try_acquire(&mut three).await?;
            assert!(shared.is_some() && exclusive.is_none());
            shared.unwrap().release().await
        });
        run.await.unwrap();
        db.assert_free(&name).await;
    });
}

/// A constraint that is checked at COMMIT. It sleeps for a second first, if the value is 2.
async fn create_deferred_constraint(db: &Db) {
    db.conn()
        .await
        .batch_execute(
            "CREATE FUNCTION check_value() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.value = 2 THEN PERFORM pg_sleep(1); END IF; \
             IF NEW.value = 1 THEN RAISE EXCEPTION 'one is refused'; END IF; RETURN NEW; END $$; \
             CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON counters \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_value()",
        )
        .await
        .unwrap();
}

#[server_test]
fn commit_that_is_refused_is_rolled_back(db: &Db) {
    db.run(async {
        db.counter(1).await;
        create_deferred_constraint(db).await;
        for form in Form::transactions() {
            let mut conn = db.conn().await;
            let ran = form.run(&mut conn, async |(), _: &mut Conn| {});
            let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
            assert!(
                matches!(error, LockError::Database { .. }),
                "{form:?}: {error:?}"
            );
            assert_eq!(error.outcome(), Outcome::RolledBack, "{form:?}");
            assert!(format!("{error:?}").contains("one is refused"), "{form:?}");
            db.assert_free(&Counter::stale(1).lock_name()).await;
            // The connection is usable.
            let ran = LockName::named("job")
                .lock()
                .transaction(&mut conn, async |_, _| Ok(()));
            ran.await.map_err(|error: LockError| error).unwrap();
        }
        assert_eq!(db.value(1).await, 0);
    });
}

/// The session is ended while it commits, and answers the COMMIT with that.
#[server_test]
fn session_killed_during_commit_returns_unknown(db: &Db) {
    db.run(async {
        let mut counter = db.counter(1).await;
        create_deferred_constraint(db).await;
        for no_wait in [false, true] {
            let mut conn = db.conn().await;
            let session = server::session_id(&mut conn).await;
            let two = async |counter: &mut Counter, conn: &mut Conn| {
                counter.value = 2;
                counter.save(conn).await.map(drop)
            };
            let commit = async {
                match no_wait {
                    false => counter.lock().transaction(&mut conn, two).await,
                    true => {
                        let ran = counter.lock().try_transaction(&mut conn, two).await;
                        ran.map(|ran| ran.expect("it is free"))
                    }
                }
            };
            let kill = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                server::kill_session(&mut db.conn().await, session).await;
            };
            let (ran, ()) = futures_util::future::join(commit, kill).await;
            let error = LockError::try_from(ran.unwrap_err()).unwrap();
            assert!(
                matches!(error, LockError::CommitUnknown { .. }),
                "{no_wait}: {error:?}"
            );
            db.wait_until_free(&counter.lock_name()).await;
            assert_eq!(db.value(1).await, 0);
        }
    });
}

#[server_test]
fn raw_transaction_that_is_aborted_is_refused(db: &Db) {
    db.run(async {
        db.counter(1).await;
        let name = Counter::stale(1).lock_name();
        for form in Form::ALL {
            let mut conn = db.conn().await;
            conn.batch_execute("BEGIN").await.unwrap();
            conn.batch_execute("SELECT 1 / 0").await.unwrap_err();
            let ran = form.run(&mut conn, async |(), _: &mut Conn| panic!("it ran"));
            let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
            assert!(
                matches!(error, LockError::OpenTransaction { .. }),
                "{form:?}: {error:?}"
            );
            db.assert_free(&name).await;
            conn.batch_execute("ROLLBACK").await.unwrap();
            let ran = form.run(&mut conn, async |(), _: &mut Conn| {});
            ran.await
                .unwrap_or_else(|error| panic!("{form:?}: {error:?}"));
        }
    });
}

/// The body ignores an error, so that its transaction is aborted. The server would answer a COMMIT
/// with success.
#[server_test]
fn aborted_transaction_is_not_reported_as_committed(db: &Db) {
    db.run(async {
        db.counter(1).await;
        for form in Form::transactions() {
            let mut conn = db.conn().await;
            let ran = form.run(&mut conn, async |(), conn: &mut Conn| {
                conn.batch_execute("SELECT 1 / 0").await.unwrap_err();
            });
            let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
            assert_eq!(error.outcome(), Outcome::RolledBack, "{form:?}: {error:?}");
            assert!(
                matches!(error, LockError::Database { .. }),
                "{form:?}: {error:?}"
            );
            assert_eq!(db.value(1).await, 0);
        }
        let mut conn = db.conn().await;
        let ran = lock_all(Vec::<LockName>::new()).transaction(&mut conn, async |_, conn| {
            Counter { id: 1, value: 0 }.add_one(conn).await?;
            conn.batch_execute("SELECT 1 / 0").await.unwrap_err();
            Ok::<_, diesel::result::Error>(())
        });
        let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
        assert_eq!(error.outcome(), Outcome::RolledBack, "{error:?}");
    });
}

/// BEGIN with the lock, the reload, the update, and COMMIT with the proof. No ROLLBACK follows.
#[server_test]
fn transaction_that_holds_its_lock_takes_four_statements(db: &Db) {
    db.run(async {
        let mut counter = db.counter(1).await;
        let mut conn = db.conn().await;
        let statements = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&statements);
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let add = async |counter: &mut Counter, conn: &mut Conn| counter.add_one(conn).await;
        counter.lock().transaction(&mut conn, add).await.unwrap();
        assert_eq!(statements.load(Ordering::Relaxed), 4);
    });
}
