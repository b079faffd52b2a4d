//! Every lock is released, however its closure or guard ends.

use std::panic::resume_unwind;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db, panics};
use crate::api::RunQueryDsl;

#[server_test]
async fn lock_is_released_on_return(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    let conn = &mut db.conn().await;
    counter
        .with_lock(conn, async |_, _| {
            assert!(
                db.holder(&name).await.is_some(),
                "held while the closure runs"
            );
            Ok::<_, LockError>(())
        })
        .await
        .unwrap();
    db.assert_free(&name).await;
}

#[server_test]
async fn lock_is_released_on_an_error(db: &Db) {
    let mut counter = db.counter(1).await;
    let run = counter
        .with_lock(&mut db.conn().await, async |_, _| {
            Err::<(), _>(DieselError::NotFound)
        })
        .await;
    assert_eq!(
        run,
        Err(DieselError::NotFound),
        "the closure's error, not `RowNotFound`"
    );
    db.assert_free(&counter.lock_name()).await;
}

#[server_test]
async fn lock_is_released_on_a_question_mark(db: &Db) {
    let mut counter = db.counter(1).await;
    let run = counter
        .with_lock(&mut db.conn().await, async |_, conn| {
            diesel::sql_query("SELECT * FROM no_such_table")
                .execute(conn)
                .await?;
            QueryResult::Ok(())
        })
        .await;
    assert!(
        matches!(run, Err(DieselError::DatabaseError(..))),
        "{run:?}"
    );
    db.assert_free(&counter.lock_name()).await;
}

#[server_test]
async fn lock_is_released_on_a_panic(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    let conn = &mut db.conn().await;
    assert!(
        panics(async || {
            counter
                .with_lock(conn, async |_, _| -> Result<(), LockError> {
                    resume_unwind(Box::new("on purpose"))
                })
                .await
        })
        .await
    );
    db.assert_free_after_drop(&name).await;
    db.after_drop(conn).await;
    Counter { id: 1, value: 0 }
        .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
        .await
        .expect("the connection is usable");
}

#[server_test]
async fn lock_is_released_when_the_guard_is_dropped(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn().await;
    drop(name.lock().acquire(conn).await.unwrap());
    db.assert_free_after_drop(&name).await;
    db.after_drop(conn).await;
    name.lock()
        .acquire(conn)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

#[server_test]
async fn lock_is_released_when_the_reload_fails(db: &Db) {
    let mut counter = db.counter(1).await;
    db.execute("ALTER TABLE counters DROP COLUMN value").await;
    let conn = &mut db.conn().await;
    let run = counter
        .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
        .await;
    assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
    db.assert_free(&counter.lock_name()).await;
    let run = counter.lock().acquire(conn).await.map(drop);
    assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
    db.assert_free(&counter.lock_name()).await;
}

/// A server counts how often a session acquires a lock. A superfluous acquisition would never be
/// released.
#[server_test]
async fn one_release_frees_a_lock_after_any_timeout(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn().await;
    for wait in [0, 20, 1_000].map(std::time::Duration::from_millis) {
        let held = name.lock().timeout(wait).acquire(conn).await.unwrap();
        assert!(db.holder(&name).await.is_some());
        held.release().await.unwrap();
        db.assert_free(&name).await;
    }
}
