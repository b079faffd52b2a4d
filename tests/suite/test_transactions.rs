//! Diesel's test transactions, and closures that exchange the transaction that Diesel sees.

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Client, Counter, Db, Path, counters};
use crate::api::{Connection, RunQueryDsl, SimpleConnection, TransactionManager};
use crate::server::Conn;

type Manager = <Conn as Connection>::TransactionManager;

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
}

#[server_test]
async fn test_transaction_is_accepted_on_every_path(db: &Db) {
    db.counter(1).await;
    for path in Path::all() {
        let mut client = path.client(db).await;
        client
            .with(async |conn| conn.begin_test_transaction().await.unwrap())
            .await;
        let name = counter().lock_name();
        for value in [5, 6] {
            let run = client
                .run(&mut counter(), async |counter, conn| {
                    assert!(db.holder(&name).await.is_some(), "{path:?}");
                    counter.value = value;
                    counter.save(conn).await.unwrap();
                    Ok(())
                })
                .await;
            run.unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
            db.assert_free(&name).await;
            let seen = client
                .with(async |conn| {
                    let row = counters::table.find(1).select(counters::value);
                    row.get_result::<i64>(conn).await.unwrap()
                })
                .await;
            assert_eq!(seen, value, "{path:?} has ended the test transaction");
            assert_eq!(
                db.value(1).await,
                0,
                "{path:?} has committed the test transaction"
            );
        }
    }
}

/// Asserts that the session has no transaction open, and that the lock is free.
#[both]
pub(crate) async fn assert_clean(db: &Db, conn: &mut Conn, of: &str) {
    conn.batch_execute("UPDATE counters SET value = 50 WHERE id = 1")
        .await
        .unwrap();
    assert_eq!(db.value(1).await, 50, "{of}: a transaction is open");
    db.execute("UPDATE counters SET value = 0 WHERE id = 1")
        .await;
    db.assert_free(&counter().lock_name()).await;
}

/// How many transactions Diesel has open.
fn depth(conn: &mut Conn) -> u32 {
    Manager::transaction_manager_status_mut(conn)
        .transaction_depth()
        .unwrap()
        .map_or(0, std::num::NonZero::get)
}

#[both]
async fn end_all(conn: &mut Conn) {
    while depth(conn) > 0 {
        Manager::rollback_transaction(conn).await.unwrap();
    }
}

#[both]
async fn assert_left_open(db: &Db, path: Path, mut client: Client, run: Result<(), LockError>) {
    assert!(
        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
        "{path:?}: {run:?}"
    );
    assert_eq!(db.value(1).await, 0, "{path:?}");
    client
        .with(async |conn| {
            assert_eq!(depth(conn), 0, "{path:?}");
            assert_clean(db, conn, &format!("{path:?}")).await;
        })
        .await;
}

#[server_test]
async fn test_transaction_exchanged_for_a_real_one_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1).await;
    for path in Path::all() {
        let mut client = path.client(db).await;
        client
            .with(async |conn| conn.begin_test_transaction().await.unwrap())
            .await;
        let run = client
            .run(&mut counter(), async |counter, conn| {
                end_all(conn).await;
                Manager::begin_transaction(conn).await.unwrap();
                counter.value = 9;
                counter.save(conn).await.unwrap();
                Ok(())
            })
            .await;
        assert_left_open(db, path, client, run).await;
    }
}

#[server_test]
async fn transaction_exchanged_for_a_test_transaction_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1).await;
    for path in Path::all() {
        let client = &mut path.client(db).await;
        let run = client
            .run(&mut counter(), async |counter, conn| {
                end_all(conn).await;
                conn.begin_test_transaction().await.unwrap();
                counter.value = 9;
                counter.save(conn).await.unwrap();
                Ok(())
            })
            .await;
        assert!(
            matches!(run, Err(LockError::TransactionLeftOpen { .. })),
            "{path:?}: {run:?}"
        );
        assert_eq!(db.value(1).await, 0, "{path:?}");
        db.assert_free(&counter().lock_name()).await;
    }
}
