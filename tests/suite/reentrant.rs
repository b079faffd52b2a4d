//! Locks inside other locks on one connection.

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db};

#[server_test]
async fn inner_release_keeps_the_outer_lock(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    counter
        .with_lock(&mut db.conn().await, async |counter, conn| {
            let inner = counter.lock().acquire(conn).await?;
            assert!(inner.is_reentrant());
            inner.release().await?;
            assert!(
                db.holder(&name).await.is_some(),
                "the inner release released the outer lock"
            );
            counter
                .with_lock(conn, async |_, _| {
                    Err::<(), _>(diesel::result::Error::RollbackTransaction)
                })
                .await
                .unwrap_err();
            assert!(
                db.holder(&name).await.is_some(),
                "the inner error released the outer lock"
            );
            Ok::<_, LockError>(())
        })
        .await
        .unwrap();
    db.assert_free(&name).await;
}

#[server_test]
async fn lock_with_a_fractional_timeout_is_reentrant(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn().await;
    let mut outer = name
        .lock()
        .timeout(std::time::Duration::from_millis(70))
        .acquire(conn)
        .await
        .unwrap();
    assert!(!outer.is_reentrant());
    let inner = name
        .lock()
        .timeout(std::time::Duration::from_millis(70))
        .acquire(&mut outer)
        .await
        .unwrap();
    assert!(inner.is_reentrant());
    inner.release().await.unwrap();
    outer.release().await.unwrap();
    db.assert_free(&name).await;
}

#[server_test]
async fn lock_of_another_scope_inside_reloads_the_model(db: &Db) {
    let mut counter = db.counter(1).await;
    counter
        .with_lock(&mut db.conn().await, async |counter, conn| {
            counter.value = 7;
            counter
                .lock()
                .scope("other")
                .run(conn, async |counter, _| {
                    assert_eq!(counter.value, 0, "not held before, so reloaded");
                    Ok::<_, LockError>(())
                })
                .await
        })
        .await
        .unwrap();
}

#[server_test]
async fn held_lock_inside_a_transaction_is_reentrant(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    counter
        .lock()
        .transaction(&mut db.conn().await, async |counter, conn| {
            counter.with_lock(conn, Counter::add_one).await?;
            counter.lock().transaction(conn, Counter::add_one).await?;
            assert!(db.holder(&name).await.is_some());
            assert_eq!(
                db.value(1).await,
                0,
                "nothing is committed before the outer transaction"
            );
            QueryResult::Ok(())
        })
        .await
        .unwrap();
    assert_eq!(db.value(1).await, 2);
    db.assert_free(&name).await;
}

#[server_test]
async fn scoped_lock_inside_a_transaction_is_refused(db: &Db) {
    let mut counter = db.counter(1).await;
    let run = counter
        .lock()
        .transaction(&mut db.conn().await, async |counter, conn| {
            counter
                .lock()
                .scope("other")
                .run(conn, async |_, _| Ok::<_, LockError>(()))
                .await
        })
        .await;
    assert!(
        matches!(run, Err(LockError::OpenTransaction { .. })),
        "{run:?}"
    );
}

#[server_test]
async fn guard_is_accepted_as_the_connection_of_another_lock(db: &Db) {
    let (first, second) = (LockName::named("a"), LockName::named("b"));
    let conn = &mut db.conn().await;
    let mut outer = first.lock().acquire(conn).await.unwrap();
    let inner = second.lock().acquire(&mut outer).await.unwrap();
    assert_eq!(db.holder(&first).await, db.holder(&second).await);
    assert!(db.holder(&first).await.is_some());
    inner.release().await.unwrap();
    db.assert_free(&second).await;
    outer.release().await.unwrap();
    db.assert_free(&first).await;
}
