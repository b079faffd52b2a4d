//! Names on the server: schemas, scopes, hostile keys, exact names.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Db, Document, counters, documents};
use crate::server::{self, Conn, session_id};

#[server_test]
fn server_has_the_lock_under_its_full_name(db: &Db) {
    let conn = &mut db.conn();
    let id = session_id(conn);
    for name in [
        LockName::row(counters::table, 42),
        LockName::table(counters::table),
        LockName::named("Nightly report"),
        LockName::row(counters::table, 42).scope("send"),
        LockName::row(counters::table, 42).namespace("elsewhere"),
        LockName::exact("Counter|42").unwrap(),
    ] {
        let held = name.lock().acquire(conn).unwrap();
        assert_eq!(db.holder(&name), Some(id), "{name:?}");
        held.release().unwrap();
    }
}

/// Whether two sessions exclude each other, each with its own name for a lock.
pub(crate) fn exclude(first: (&mut Conn, &LockName), second: (&mut Conn, &LockName)) -> bool {
    let held = first.1.lock().acquire(first.0).unwrap();
    let excluded = second.1.lock().try_acquire(second.0).unwrap().is_none();
    held.release().unwrap();
    excluded
}

#[server_test]
fn same_name_in_two_schemas_is_two_locks(db: &Db) {
    let other = db.create_other();
    let name = LockName::row(counters::table, 1);
    assert!(exclude((&mut db.conn(), &name), (&mut db.conn(), &name)));
    assert!(!exclude(
        (&mut db.conn(), &name),
        (&mut other.conn(), &name)
    ));
}

mod explicit {
    diesel::table! {
        app.counters (id) { id -> BigInt, }
    }
}

#[server_test]
fn table_with_a_schema_has_the_lock_of_that_schema(db: &Db) {
    let in_app = LockName::row(explicit::counters::table, 1);
    let conn = &mut db.conn();
    let held = in_app.lock().acquire(conn).unwrap();
    let as_seen_from_app = LockName::row(counters::table, 1).full_name("app");
    assert!(db.holder_of(&as_seen_from_app).is_some());
    held.release().unwrap();
}

#[server_test]
fn scopes_do_not_exclude_each_other(db: &Db) {
    let name = LockName::row(counters::table, 1);
    let (send, archive) = (name.clone().scope("send"), name.clone().scope("archive"));
    assert!(exclude((&mut db.conn(), &send), (&mut db.conn(), &send)));
    assert!(!exclude(
        (&mut db.conn(), &send),
        (&mut db.conn(), &archive)
    ));
    assert!(!exclude((&mut db.conn(), &send), (&mut db.conn(), &name)));

    let mut counter = db.counter(1);
    counter
        .lock()
        .scope("send")
        .run(&mut db.conn(), |_, _| {
            assert!(db.holder(&send).is_some());
            Ok::<_, LockError>(())
        })
        .unwrap();
}

#[server_test]
fn row_and_its_table_do_not_exclude_each_other(db: &Db) {
    let (row, table) = (
        LockName::row(counters::table, 1),
        LockName::table(counters::table),
    );
    assert!(!exclude((&mut db.conn(), &row), (&mut db.conn(), &table)));
    assert!(exclude((&mut db.conn(), &table), (&mut db.conn(), &table)));
}

/// All keys are locked at once, each by another session.
#[server_test]
fn hostile_keys_are_distinct_locks(db: &Db) {
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
    let mut conns: Vec<_> = keys.iter().map(|_| db.conn()).collect();
    let guards: Vec<_> = keys
        .iter()
        .zip(&mut conns)
        .map(|(key, conn)| {
            let name = LockName::row(documents::table, *key);
            name.lock()
                .no_wait()
                .acquire(conn)
                .unwrap_or_else(|error| panic!("{key:?}: {error}"))
        })
        .collect();
    let holders: HashSet<_> = keys
        .iter()
        .map(|key| {
            db.holder(&LockName::row(documents::table, *key))
                .expect("held")
        })
        .collect();
    assert_eq!(holders.len(), keys.len());
    guards.into_iter().for_each(|held| held.release().unwrap());

    // Keys that the column can store are also locked through the loaded model.
    let conn = &mut db.conn();
    let mut inserted = 0;
    for key in keys.into_iter().filter(|key| server::can_store_key(key)) {
        let document = Document {
            name: key.to_owned(),
            body: String::new(),
        };
        match diesel::insert_into(documents::table)
            .values(&document)
            .execute(conn)
        {
            Ok(_) => inserted += 1,
            // The column's collation may ignore trailing spaces.
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => continue,
            Err(error) => panic!("{key:?}: {error}"),
        }
        let mut loaded: Document = documents::table.find(key).get_result(conn).unwrap();
        assert_eq!(loaded.lock_name(), LockName::row(documents::table, key));
        loaded
            .with_lock(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    }
    assert!(inserted > 20, "only {inserted} keys could be stored");
}
