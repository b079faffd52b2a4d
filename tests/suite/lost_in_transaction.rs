//! A lock that is lost inside `.transaction` never commits, and is never handed off.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::lock_pool_faults::in_front_of;
use super::support::{Counter, Db, Path};
use crate::api::{Connection, TransactionManager};
use crate::server::{self, Conn, session_id};

type Manager = <Conn as Connection>::TransactionManager;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Release,
    ReleaseAll,
    Kill,
    Swap,
}

#[both]
impl Loss {
    const ALL: [Loss; 4] = [Loss::Release, Loss::ReleaseAll, Loss::Kill, Loss::Swap];

    async fn inflict(self, db: &Db, name: &LockName, conn: &mut Conn) {
        match self {
            Loss::Release => db.release_raw(conn, name).await,
            Loss::ReleaseAll => server::release_all(conn).await.unwrap(),
            Loss::Kill => db.kill_session(session_id(conn).await).await,
            Loss::Swap => *conn = db.conn().await,
        }
    }
}

#[track_caller]
fn assert_lost(run: Result<(), LockError>, of: &str) -> LockName {
    match run {
        Err(LockError::Lost {
            name,
            outcome: Outcome::RolledBack,
            ..
        }) => name,
        other => panic!("{of}: {other:?}"),
    }
}

#[server_test]
async fn lock_lost_inside_transaction_is_rolled_back_on_every_path(db: &Db) {
    db.lock_before_begin().await;
    let counter = db.counter(1).await;
    let name = counter.lock_name();
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        for loss in Loss::ALL {
            let run = path
                .run_once(db, &mut counter.clone(), async |counter, conn| {
                    counter.add_one(conn).await.unwrap();
                    loss.inflict(db, &name, conn).await;
                    Ok(())
                })
                .await;
            let lost = assert_lost(run, &format!("{path:?}, {loss:?}"));
            if loss == Loss::Release {
                assert_eq!(lost, name, "{path:?}");
            }
            db.wait_until_free(&name).await;
            assert_eq!(db.value(1).await, 0, "{path:?}, {loss:?}");
        }
    }
    // No transaction is still open with the row locked.
    counter
        .clone()
        .lock()
        .transaction(&mut db.conn().await, Counter::add_one)
        .await
        .unwrap();
}

/// One statement cannot verify seventy locks.
#[server_test]
async fn lock_lost_in_the_middle_of_seventy_is_named(db: &Db) {
    db.lock_before_begin().await;
    let mut counter = db.counter(1).await;
    let names: Vec<_> = (0..70)
        .map(|n| LockName::named(format!("{n:02}")))
        .collect();
    for lost in [0, 35, 63, 64, 69] {
        let conn = &mut db.conn().await;
        let set = lock_all(names.clone());
        let run = set
            .transaction(conn, async |_, conn| {
                counter.add_one(conn).await.unwrap();
                db.release_raw(conn, &names[lost]).await;
                Ok(())
            })
            .await;
        assert_eq!(assert_lost(run, "a set"), names[lost]);
        for name in &names {
            db.wait_until_free(name).await;
        }
        assert_eq!(db.value(1).await, 0);
    }
}

/// One statement cannot verify seventy locks.
#[server_test]
async fn pooled_lock_lost_in_the_middle_of_seventy_is_named(db: &Db) {
    db.lock_before_begin().await;
    let mut counter = db.counter(1).await;
    let names: Vec<_> = (0..70)
        .map(|n| LockName::named(format!("{n:02}")))
        .collect();
    for lost in [0, 35, 63, 64, 69] {
        let run = db
            .locks(1)
            .await
            .transaction(lock_all(names.clone()), async |_, conn| {
                counter.add_one(conn).await.unwrap();
                db.release_raw(conn, &names[lost]).await;
                Ok(())
            })
            .await;
        assert_eq!(assert_lost(run, "a set"), names[lost]);
        for name in &names {
            db.wait_until_free(name).await;
        }
        assert_eq!(db.value(1).await, 0);
    }
}

/// Whether a transaction that has acquired the lock again holds it until its COMMIT in spite of this.
fn is_harmless(loss: Loss) -> bool {
    server::NESTED_LOCKS_END_WITH_TRANSACTION && matches!(loss, Loss::Release | Loss::ReleaseAll)
}

#[server_test]
async fn lock_lost_inside_nested_transaction_rolls_back_the_outer_one(db: &Db) {
    db.lock_before_begin().await;
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    for loss in Loss::ALL {
        let run: Result<(), LockError> = counter
            .lock()
            .transaction(&mut db.conn().await, async |counter, conn| {
                counter.add_one(conn).await.unwrap();
                let inner = counter
                    .lock()
                    .transaction(conn, async |counter, conn| {
                        counter.add_one(conn).await.unwrap();
                        loss.inflict(db, &name, conn).await;
                        Ok(())
                    })
                    .await;
                // The lock was held twice, and is still held once.
                if loss != Loss::Release && !is_harmless(loss) {
                    assert_lost(inner, &format!("{loss:?}"));
                }
                Ok(())
            })
            .await;
        db.wait_until_free(&name).await;
        if is_harmless(loss) {
            run.unwrap();
            assert_eq!(db.value(1).await, 2, "{loss:?}");
            db.execute("UPDATE counters SET value = 0").await;
            continue;
        }
        run.unwrap_err();
        assert_eq!(db.value(1).await, 0, "{loss:?}");
    }
}

/// The next request in the queue waits on the server, behind the session that has acquired the lost
/// lock.
#[server_test]
async fn lock_lost_inside_transaction_is_not_handed_off(db: &Db) {
    db.lock_before_begin().await;
    let name = &db.counter(1).await.lock_name();
    for (round, loss) in Loss::ALL.into_iter().enumerate() {
        let locks = &db.locks(2).await;
        let other_holds = &AtomicBool::new(false);
        let others = async || {
            let mut counter = Counter { id: 1, value: 0 };
            locks
                .transaction(counter.lock(), async |counter, conn| {
                    assert!(!other_holds.load(Ordering::SeqCst), "{loss:?}");
                    assert_eq!(db.holder(name).await, Some(session_id(conn).await));
                    counter.add_one(conn).await
                })
                .await
                .unwrap();
        };
        in_front_of(db, locks, 3, others, async || {
            let other = &mut db.conn().await;
            let mut held = None;
            let mut counter = Counter { id: 1, value: 0 };
            let run = locks
                .transaction(counter.lock(), async |counter, conn| {
                    counter.add_one(conn).await.unwrap();
                    loss.inflict(db, name, conn).await;
                    held = Some(name.lock().acquire(other).await?);
                    other_holds.store(true, Ordering::SeqCst);
                    Ok(())
                })
                .await;
            assert_lost(run, &format!("{loss:?}"));
            db.wait_until_sessions_wait(1).await;
            other_holds.store(false, Ordering::SeqCst);
            held.unwrap().release().await.unwrap();
        })
        .await;
        assert_eq!(db.value(1).await, 3 * (round as i64 + 1), "{loss:?}");
        db.assert_idle(locks).await;
    }
}

#[server_test]
async fn connection_swapped_for_one_in_a_transaction_commits_neither(db: &Db) {
    db.lock_before_begin().await;
    let (counter, other) = (db.counter(1).await, db.counter(2).await);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        let run = path
            .run_once(db, &mut counter.clone(), async |counter, conn| {
                counter.add_one(conn).await.unwrap();
                let mut swapped = db.conn().await;
                Manager::begin_transaction(&mut swapped).await.unwrap();
                other.clone().add_one(&mut swapped).await.unwrap();
                std::mem::swap(conn, &mut swapped);
                Ok(())
            })
            .await;
        assert_lost(run, &format!("{path:?}"));
        db.wait_until_free(&counter.lock_name()).await;
        assert_eq!((db.value(1).await, db.value(2).await), (0, 0), "{path:?}");
    }
}

/// The library does not know what the closure has committed.
#[server_test]
async fn closure_that_commits_and_loses_the_lock_returns_unknown(db: &Db) {
    db.lock_before_begin().await;
    let counter = db.counter(1).await;
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        let run = path
            .run_once(db, &mut counter.clone(), async |_, conn| {
                Manager::commit_transaction(conn).await.unwrap();
                db.release_raw(conn, &counter.lock_name()).await;
                Ok(())
            })
            .await;
        let error = run.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{path:?}: {error:?}");
        db.assert_free(&counter.lock_name()).await;
    }
}
