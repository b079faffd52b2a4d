//! Names on the server: schemas, scopes, hostile keys, exact names.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Db, Document, counters, documents};
use crate::api::RunQueryDsl;
use crate::server::{self, Conn, session_id};

#[server_test]
async fn server_has_the_lock_under_its_full_name(db: &Db) {
    let conn = &mut db.conn().await;
    let id = session_id(conn).await;
    for name in [
        LockName::row(counters::table, 42),
        LockName::table(counters::table),
        LockName::named("Nightly report"),
        LockName::row(counters::table, 42).scope("send"),
        LockName::row(counters::table, 42).namespace("elsewhere"),
        LockName::exact("Counter|42").unwrap(),
    ] {
        let held = name.lock().acquire(conn).await.unwrap();
        assert_eq!(db.holder(&name).await, Some(id), "{name:?}");
        held.release().await.unwrap();
    }
}

/// Whether two sessions exclude each other, each with its own name for a lock.
#[both]
pub(crate) async fn exclude(first: (&mut Conn, &LockName), second: (&mut Conn, &LockName)) -> bool {
    let held = first.1.lock().acquire(first.0).await.unwrap();
    let excluded = second
        .1
        .lock()
        .try_acquire(second.0)
        .await
        .unwrap()
        .is_none();
    held.release().await.unwrap();
    excluded
}

#[server_test]
async fn same_name_in_two_schemas_is_two_locks(db: &Db) {
    let other = db.create_other().await;
    let name = LockName::row(counters::table, 1);
    assert!(exclude((&mut db.conn().await, &name), (&mut db.conn().await, &name)).await);
    assert!(
        !exclude(
            (&mut db.conn().await, &name),
            (&mut other.conn().await, &name)
        )
        .await
    );
}

mod explicit {
    diesel::table! {
        app.counters (id) { id -> BigInt, }
    }
}

#[server_test]
async fn table_with_a_schema_has_the_lock_of_that_schema(db: &Db) {
    let in_app = LockName::row(explicit::counters::table, 1);
    let conn = &mut db.conn().await;
    let held = in_app.lock().acquire(conn).await.unwrap();
    let as_seen_from_app = LockName::row(counters::table, 1).full_name("app");
    assert!(db.holder_of(&as_seen_from_app).await.is_some());
    held.release().await.unwrap();
}

#[server_test]
async fn scopes_do_not_exclude_each_other(db: &Db) {
    let name = LockName::row(counters::table, 1);
    let (send, archive) = (name.clone().scope("send"), name.clone().scope("archive"));
    assert!(exclude((&mut db.conn().await, &send), (&mut db.conn().await, &send)).await);
    assert!(
        !exclude(
            (&mut db.conn().await, &send),
            (&mut db.conn().await, &archive)
        )
        .await
    );
    assert!(!exclude((&mut db.conn().await, &send), (&mut db.conn().await, &name)).await);

    let mut counter = db.counter(1).await;
    counter
        .lock()
        .scope("send")
        .run(&mut db.conn().await, async |_, _| {
            assert!(db.holder(&send).await.is_some());
            Ok::<_, LockError>(())
        })
        .await
        .unwrap();
}

#[server_test]
async fn row_and_its_table_do_not_exclude_each_other(db: &Db) {
    let (row, table) = (
        LockName::row(counters::table, 1),
        LockName::table(counters::table),
    );
    assert!(!exclude((&mut db.conn().await, &row), (&mut db.conn().await, &table)).await);
    assert!(
        exclude(
            (&mut db.conn().await, &table),
            (&mut db.conn().await, &table)
        )
        .await
    );
}

/// All keys are locked at once, each by another session.
#[server_test]
async fn hostile_keys_are_distinct_locks(db: &Db) {
    let long = "x".repeat(600);
    let longer = "x".repeat(10_000);
    let keys = [
        "",
        " ",
        "a",
        "A",
        "a ",
        " a",
        "a\0",
        "a\0b",
        "a\0c",
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "`",
        "%",
        "_",
        "a;--",
        "'; DROP TABLE documents; --",
        "é",
        "É",
        "e\u{301}",
        "İ",
        "i",
        "ı",
        "I",
        "\u{212A}",
        "k",
        "K",
        "ß",
        "ss",
        "ẞ",
        "🔒",
        "🔓",
        "日本",
        "\n",
        "\t",
        ",",
        "a,b",
        ":",
        "#",
        "a#send",
        "*",
        "~",
        "/",
        long.as_str(),
        longer.as_str(),
    ];
    let mut conns = Vec::new();
    for _ in &keys {
        conns.push(db.conn().await);
    }
    let mut guards = Vec::new();
    for (key, conn) in keys.iter().zip(&mut conns) {
        let lock = LockName::row(documents::table, *key).lock().no_wait();
        let held = lock.acquire(conn).await;
        guards.push(held.unwrap_or_else(|error| panic!("{key:?}: {error}")));
    }
    let mut holders = HashSet::new();
    for key in &keys {
        let holder = db.holder(&LockName::row(documents::table, *key)).await;
        holders.insert(holder.expect("held"));
    }
    assert_eq!(holders.len(), keys.len());
    for held in guards {
        held.release().await.unwrap();
    }

    // Keys that the column can store are also locked through the loaded model.
    let conn = &mut db.conn().await;
    let mut inserted = 0;
    for key in keys.into_iter().filter(|key| server::can_store_key(key)) {
        let document = Document {
            name: key.to_owned(),
            body: String::new(),
        };
        match diesel::insert_into(documents::table)
            .values(&document)
            .execute(conn)
            .await
        {
            Ok(_) => inserted += 1,
            // The column's collation may ignore trailing spaces.
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => continue,
            Err(error) => panic!("{key:?}: {error}"),
        }
        let mut loaded: Document = documents::table.find(key).get_result(conn).await.unwrap();
        assert_eq!(loaded.lock_name(), LockName::row(documents::table, key));
        loaded
            .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap();
    }
    assert!(inserted > 20, "only {inserted} keys could be stored");
}
