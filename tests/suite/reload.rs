//! Models are reloaded under their locks, so that no decision is based on a stale copy.

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Counter, Db, counters};
use crate::api::{RunQueryDsl, thread};
use crate::server::{Conn, session_id};

/// Counts up, but only from zero, like a mail that is sent if it has not been sent.
#[both]
async fn count_once(counter: &mut Counter, conn: &mut Conn) -> QueryResult<bool> {
    if counter.value > 0 {
        return Ok(false);
    }
    counter.value += 1;
    counter.save(conn).await?;
    Ok(true)
}

#[server_test]
async fn second_copy_sees_what_the_first_wrote(db: &Db) {
    let mut first = db.counter(1).await;
    let mut second = first.clone();
    assert!(
        first
            .with_lock(&mut db.conn().await, count_once)
            .await
            .unwrap()
    );
    assert!(
        !second
            .with_lock(&mut db.conn().await, count_once)
            .await
            .unwrap()
    );
    assert_eq!(
        second,
        Counter { id: 1, value: 1 },
        "the caller's copy is current"
    );
}

#[both]
async fn seen(counter: &mut Counter, _: &mut Conn) -> QueryResult<i64> {
    Ok(counter.value)
}

#[server_test]
async fn every_finishing_method_reloads(db: &Db) {
    let stale = db.counter(1).await;
    diesel::update(&stale)
        .set(counters::value.eq(5))
        .execute(&mut db.conn().await)
        .await
        .unwrap();
    let conn = &mut db.conn().await;
    assert_eq!(stale.clone().with_lock(conn, seen).await.unwrap(), 5);
    assert_eq!(
        stale.clone().try_with_lock(conn, seen).await.unwrap(),
        Some(5)
    );
    assert_eq!(stale.clone().lock().run(conn, seen).await.unwrap(), 5);
    assert_eq!(
        stale.clone().lock().try_run(conn, seen).await.unwrap(),
        Some(5)
    );
    assert_eq!(
        stale.clone().lock().transaction(conn, seen).await.unwrap(),
        5
    );
    assert_eq!(
        stale
            .clone()
            .lock()
            .try_transaction(conn, seen)
            .await
            .unwrap(),
        Some(5)
    );
    let mut copy = stale.clone();
    copy.lock()
        .acquire(conn)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    assert_eq!(copy.value, 5);
    let mut copy = stale.clone();
    copy.lock()
        .try_acquire(conn)
        .await
        .unwrap()
        .unwrap()
        .release()
        .await
        .unwrap();
    assert_eq!(copy.value, 5);
}

/// The negative control: a lock without a reload.
#[server_test]
async fn lock_by_name_does_not_reload_the_model(db: &Db) {
    let mut first = db.counter(1).await;
    let mut second = first.clone();
    for copy in [&mut first, &mut second] {
        let counted = copy
            .lock_name()
            .lock()
            .run(&mut db.conn().await, async |_, conn| {
                count_once(copy, conn).await
            })
            .await;
        assert!(counted.unwrap());
    }
}

#[server_test]
async fn row_deleted_during_the_wait_returns_row_not_found(db: &Db) {
    let mut counter = db.counter(1).await;
    let mut copy = counter.clone();
    let name = counter.lock_name();
    let mut waiter = db.conn().await;
    let waiter_id = session_id(&mut waiter).await;
    thread::scope(async |scope| {
        let waiting = counter
            .with_lock(&mut db.conn().await, async |counter, conn| {
                let waiting = scope.spawn(async || {
                    copy.with_lock(&mut waiter, async |_, _| -> Result<(), LockError> {
                        panic!("there is no row to run on")
                    })
                    .await
                });
                db.wait_until_blocked(waiter_id).await;
                diesel::delete(&*counter).execute(conn).await?;
                QueryResult::Ok(waiting)
            })
            .await
            .unwrap();
        let error = waiting.join().await.unwrap().unwrap_err();
        assert!(matches!(&error, LockError::RowNotFound { .. }), "{error}");
        assert!(error.to_string().contains("counters:1"), "{error}");
    })
    .await;
    assert_eq!(
        copy,
        Counter { id: 1, value: 0 },
        "the caller's copy is unchanged"
    );
    db.assert_free(&name).await;
}

#[server_test]
async fn row_never_saved_returns_row_not_found(db: &Db) {
    let mut unsaved = Counter { id: 7, value: 0 };
    let conn = &mut db.conn().await;
    let run = unsaved
        .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
        .await;
    assert!(matches!(run, Err(LockError::RowNotFound { .. })));
    let run = unsaved
        .lock()
        .transaction(conn, async |_, _| Ok::<_, LockError>(()))
        .await;
    assert!(matches!(run, Err(LockError::RowNotFound { .. })));
    db.assert_free(&unsaved.lock_name()).await;
}
