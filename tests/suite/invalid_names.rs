//! An invalid name is refused before anything else, in every kind of request.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::Db;
use crate::api::{Connection, status};
use crate::server::{Conn, session_id};

/// No call may wait this long.
const LONG: Duration = Duration::from_secs(9);

/// A name without a namespace. It contains the schema, because other cases use the same server.
fn valid(db: &Db) -> LockName {
    LockName::exact(format!("Counter|{}", db.schema)).unwrap()
}

/// Names that look like the valid one.
fn invalid(db: &Db) -> [LockName; 2] {
    [valid(db).scope("x"), valid(db).namespace("x")]
}

#[track_caller]
fn assert_refused<R>(run: Result<R, LockError>) {
    match run.map(|_| ()) {
        Err(error @ LockError::InvalidName { .. }) => {
            assert!(error.name().to_string().starts_with("Counter|"), "{error}");
            assert!(error.to_string().contains("Counter|"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[server_test]
async fn invalid_name_is_not_equal_to_the_valid_one(db: &Db) {
    for name in invalid(db) {
        assert_ne!(name, valid(db));
        assert_eq!(HashSet::from([name.clone(), valid(db), name]).len(), 2);
    }
}

/// If the request were queued, it would be handed the lock of the valid name.
#[server_test]
async fn invalid_name_behind_a_valid_holder_is_refused_at_once(db: &Db) {
    let locks = &db.locks(2).await;
    let held = locks.acquire(valid(db).lock()).await.unwrap();
    for name in invalid(db) {
        assert_refused(locks.acquire(name.lock().timeout(LONG)).await);
        assert_refused(locks.try_acquire(name.lock()).await);
        assert_refused(locks.run(name.lock(), async |_, conn| never(conn)).await);
        assert_refused(
            locks
                .try_run(name.lock(), async |_, conn| never(conn))
                .await,
        );
        let set = || lock_all([name.clone()]).timeout(LONG);
        assert_refused(locks.run(set(), async |_, conn| never(conn)).await);
        assert_refused(
            locks
                .try_transaction(set(), async |_, conn| never(conn))
                .await,
        );
        assert_eq!(locks.state().names, 1);
    }
    held.release().await.unwrap();
    db.assert_idle(locks).await;
}

fn never(_: &mut Conn) -> Result<(), LockError> {
    panic!("the closure ran")
}

/// While the valid name's lock is free, and while another session holds it.
#[server_test]
async fn invalid_name_is_refused_by_every_form(db: &Db) {
    let (conn, other, locks) = (
        &mut db.conn().await,
        &mut db.conn().await,
        &db.locks(1).await,
    );
    for is_taken in [false, true] {
        let held = match is_taken {
            true => Some(valid(db).lock().acquire(&mut *other).await.unwrap()),
            false => None,
        };
        for name in invalid(db) {
            assert_refused(name.lock().acquire(conn).await);
            assert_refused(name.lock().try_acquire(conn).await);
            assert_refused(
                name.lock()
                    .timeout(Duration::from_millis(5))
                    .run(conn, async |_, conn| never(conn))
                    .await,
            );
            assert_refused(name.lock().try_run(conn, async |_, conn| never(conn)).await);
            assert_refused(locks.run(name.lock(), async |_, conn| never(conn)).await);
            assert_refused(status(&name, conn).await);
        }
        if let Some(held) = held {
            held.release().await.unwrap();
        }
    }
}

#[server_test]
async fn invalid_name_in_a_set_is_refused_before_any_lock_is_acquired(db: &Db) {
    let (conn, locks) = (&mut db.conn().await, &db.locks(1).await);
    // The set would wait for this lock if it acquired any: with this namespace, the lock is the
    // first in order.
    let first = LockName::named(&db.schema).namespace("app");
    let other = &mut db.conn().await;
    let held = first.lock().acquire(other).await.unwrap();
    for invalid in invalid(db) {
        let sets = [
            [valid(db), invalid.clone(), first.clone()],
            [invalid.clone(), valid(db), first.clone()],
            [first.clone(), valid(db), invalid.clone()],
        ];
        for names in sets {
            let set = || lock_all(names.clone()).timeout(LONG);
            assert_refused(set().run(conn, async |_, conn| never(conn)).await);
            assert_refused(set().transaction(conn, async |_, conn| never(conn)).await);
            assert_refused(set().try_run(conn, async |_, conn| never(conn)).await);
            assert_refused(
                set()
                    .try_transaction(conn, async |_, conn| never(conn))
                    .await,
            );
            assert_refused(locks.run(set(), async |_, conn| never(conn)).await);
            assert_refused(
                locks
                    .try_transaction(set(), async |_, conn| never(conn))
                    .await,
            );
            db.assert_free(&valid(db)).await;
            assert_eq!(locks.state().names, 0);
        }
    }
    held.release().await.unwrap();
}

/// The session holds the lock, so the server would grant it once more.
#[server_test]
async fn invalid_name_inside_its_valid_lock_is_refused(db: &Db) {
    let conn = &mut db.conn().await;
    let id = session_id(conn).await;
    let run = valid(db)
        .lock()
        .run(conn, async |_, conn| {
            for name in invalid(db) {
                assert_refused(name.lock().acquire(conn).await);
                assert_refused(
                    lock_all([&valid(db), &name])
                        .run(conn, async |_, conn| never(conn))
                        .await,
                );
                conn.transaction(async |conn| {
                    assert_refused(name.lock().try_run(conn, async |_, conn| never(conn)).await);
                    QueryResult::Ok(())
                })
                .await?;
            }
            assert_eq!(db.holder(&valid(db)).await, Some(id));
            QueryResult::Ok(())
        })
        .await;
    run.unwrap();
    db.assert_free(&valid(db)).await;
}
