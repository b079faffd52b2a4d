//! Names on the servers: schemas, scopes, hostile keys, exact names.

use std::collections::HashSet;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_advisory_lock::prelude::*;

use crate::support::{Db, Document, counters, documents};

cases![
    the_server_computes_the_name_as_written,
    two_schemas_do_not_share_a_lock,
    a_named_schema_is_that_schemas_lock,
    a_namespace_joins_schemas,
    a_schema_may_have_any_name,
    without_a_schema_there_is_still_a_lock,
    use_inside_the_closure_does_not_make_the_release_miss,
    after_use_the_namespace_stays,
    after_use_a_nested_lock_in_a_transaction_is_the_same,
    a_session_that_has_forgotten_its_namespace_has_the_same_one,
    after_use_a_fraction_means_the_same_lock,
    scopes_do_not_exclude_each_other,
    a_row_and_its_table_do_not_exclude_each_other,
    hostile_keys_are_distinct_locks,
    exact_names_are_sent_as_they_are,
    exact_names_take_no_options,
    the_servers_fold_cut_and_refuse_what_exact_refuses,
];

fn the_server_computes_the_name_as_written(db: &Db) {
    let conn = &mut db.conn();
    let id = crate::support::session_id(conn);
    for name in [
        LockName::row(counters::table, 42),
        LockName::table(counters::table),
        LockName::named("Nightly report"),
        LockName::row(counters::table, 42).scope("send"),
        LockName::row(counters::table, 42).namespace("elsewhere"),
        LockName::exact("Counter|42").unwrap(),
    ] {
        let held = name.lock().acquire(conn).unwrap();
        assert_eq!(
            db.holder_of_written(&name.written(&db.schema)),
            Some(id),
            "{name:?}"
        );
        held.release().unwrap();
    }
}

/// Whether two sessions, each by its own name, exclude each other.
fn exclude(
    first: (&mut MysqlConnection, &LockName),
    second: (&mut MysqlConnection, &LockName),
) -> bool {
    let held = first.1.lock().acquire(first.0).unwrap();
    let excluded = second.1.lock().try_acquire(second.0).unwrap().is_none();
    held.release().unwrap();
    excluded
}

fn elsewhere(db: &Db) -> Db {
    Db::create(db.target()).unwrap()
}

fn two_schemas_do_not_share_a_lock(db: &Db) {
    let other = elsewhere(db);
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

fn a_named_schema_is_that_schemas_lock(db: &Db) {
    let in_app = LockName::row(explicit::counters::table, 1);
    let conn = &mut db.conn();
    let held = in_app.lock().acquire(conn).unwrap();
    let as_seen_from_app = LockName::row(counters::table, 1).written("app");
    assert!(db.holder_of_written(&as_seen_from_app).is_some());
    held.release().unwrap();
}

fn a_namespace_joins_schemas(db: &Db) {
    let other = elsewhere(db);
    let name = LockName::row(counters::table, 1).namespace("shared");
    assert!(exclude((&mut db.conn(), &name), (&mut other.conn(), &name)));
    let in_app = LockName::row(explicit::counters::table, 1).namespace("shared");
    assert!(exclude(
        (&mut db.conn(), &name),
        (&mut other.conn(), &in_app)
    ));
}

/// The server hashes the bytes that we hash.
fn a_schema_may_have_any_name(db: &Db) {
    let schema = format!("École d'été {}", db.schema);
    let conn = &mut db.conn();
    conn.batch_execute(&format!("CREATE DATABASE `{schema}`; USE `{schema}`"))
        .unwrap();
    let name = LockName::named("job");
    let held = name.lock().acquire(conn).unwrap();
    assert!(db.holder_of_written(&name.written(&schema)).is_some());
    held.release().unwrap();
    conn.batch_execute(&format!("DROP DATABASE `{schema}`"))
        .unwrap();
}

fn without_a_schema_there_is_still_a_lock(db: &Db) {
    let nowhere = || MysqlConnection::establish(&db.url_of_no_schema()).unwrap();
    let name = LockName::named(format!("of {}", db.schema));
    assert!(exclude((&mut nowhere(), &name), (&mut nowhere(), &name)));
    assert!(!exclude((&mut nowhere(), &name), (&mut db.conn(), &name)));
    let held_by = name.written("");
    let conn = &mut nowhere();
    let held = name.lock().acquire(conn).unwrap();
    assert!(db.holder_of_written(&held_by).is_some());
    held.release().unwrap();
}

fn use_inside_the_closure_does_not_make_the_release_miss(db: &Db) {
    let other = elsewhere(db);
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    counter
        .with_lock(&mut db.conn(), |_, conn| {
            conn.batch_execute(&format!("USE {}", other.schema))?;
            assert!(db.holder(&name).is_some());
            QueryResult::Ok(())
        })
        .unwrap();
    db.assert_free(&name);
}

fn after_use_the_namespace_stays(db: &Db) {
    let other = elsewhere(db);
    let name = LockName::named("job");
    let conn = &mut db.conn();
    name.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute(&format!("USE {}", other.schema))
        .unwrap();
    let held = name.lock().acquire(conn).unwrap();
    assert!(db.holder(&name).is_some());
    assert!(other.holder(&name).is_none());
    held.release().unwrap();

    let moved = name.namespace(&other.schema);
    let held = moved.lock().acquire(conn).unwrap();
    assert!(other.holder(&LockName::named("job")).is_some());
    held.release().unwrap();
}

/// Inside a transaction another statement asks, which is prepared when the schema is another one already.
fn after_use_a_nested_lock_in_a_transaction_is_the_same(db: &Db) {
    let other = elsewhere(db);
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let request = name.lock();
    request
        .hold(conn, |conn| {
            conn.batch_execute(&format!("USE {}", other.schema))?;
            conn.transaction::<_, diesel::result::Error, _>(|conn| {
                let held = name.lock().acquire(conn)?;
                assert!(held.is_nested());
                Ok(held.release()?)
            })
        })
        .unwrap();
}

/// It computes it anew, for the schema that its statements were prepared in.
fn a_session_that_has_forgotten_its_namespace_has_the_same_one(db: &Db) {
    let other = elsewhere(db);
    let name = LockName::named("job");
    let conn = &mut db.conn();
    name.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute(&format!(
        "USE {}; SET @diesel_advisory_lock_namespace = NULL, @diesel_advisory_lock_prefix = NULL, \
         @diesel_advisory_lock_schema = NULL",
        other.schema
    ))
    .unwrap();
    let held = name.lock().acquire(conn).unwrap();
    assert!(other.holder(&name).is_none());
    assert!(db.holder(&name).is_some());
    held.release().unwrap();
}

/// A wait for a fraction is prepared anew, and would see the new schema.
fn after_use_a_fraction_means_the_same_lock(db: &Db) {
    let other = elsewhere(db);
    let name = LockName::named("job");
    let (conn, holder) = (&mut db.conn(), &mut db.conn());
    name.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute(&format!("USE {}", other.schema))
        .unwrap();
    let held = name.lock().acquire(holder).unwrap();
    let wait = std::time::Duration::from_millis(50);
    assert!(
        name.lock()
            .timeout(wait)
            .try_acquire(conn)
            .unwrap()
            .is_none()
    );
    held.release().unwrap();
}

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

fn a_row_and_its_table_do_not_exclude_each_other(db: &Db) {
    let (row, table) = (
        LockName::row(counters::table, 1),
        LockName::table(counters::table),
    );
    assert!(!exclude((&mut db.conn(), &row), (&mut db.conn(), &table)));
    assert!(exclude((&mut db.conn(), &table), (&mut db.conn(), &table)));
}

/// Each is another row, and all of them are held at once, by a session each.
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

    // What a column can store is locked through the loaded model as well.
    let conn = &mut db.conn();
    let mut inserted = 0;
    for key in keys.into_iter().filter(|key| key.chars().count() <= 700) {
        let document = Document {
            name: key.to_owned(),
            body: String::new(),
        };
        match diesel::insert_into(documents::table)
            .values(&document)
            .execute(conn)
        {
            Ok(_) => inserted += 1,
            // This collation ignores trailing spaces.
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

fn exact_names_are_sent_as_they_are(db: &Db) {
    // In the way of a program that does not know this crate.
    let theirs = format!("Report {}", db.schema);
    let other = &mut db.conn();
    other
        .batch_execute(&format!("DO GET_LOCK('{theirs}', 0)"))
        .unwrap();
    let ours = LockName::exact(&theirs).unwrap();
    let conn = &mut db.conn();
    assert!(ours.lock().try_acquire(conn).unwrap().is_none());
    other
        .batch_execute(&format!("DO RELEASE_LOCK('{theirs}')"))
        .unwrap();
    let held = ours.lock().try_acquire(conn).unwrap().unwrap();
    assert!(db.holder_of_written(&theirs).is_some());
    held.release().unwrap();
}

fn exact_names_take_no_options(db: &Db) {
    let exact = LockName::exact("Counter|42").unwrap();
    let conn = &mut db.conn();
    for request in [exact.lock().scope("send"), exact.lock().namespace("app")] {
        let error = request.acquire(conn).unwrap_err();
        assert!(matches!(error, LockError::InvalidName { .. }), "{error:?}");
        assert!(error.to_string().contains("Counter|42"), "{error}");
    }
}

/// Why `LockName::exact` refuses what it refuses: the servers, asked directly.
fn the_servers_fold_cut_and_refuse_what_exact_refuses(db: &Db) {
    for name in ["", "a\0b", "🔒", "É", "İ", "\u{212A}", &"x".repeat(65)] {
        let error = LockName::exact(name).unwrap_err();
        assert!(matches!(error, LockError::InvalidName { .. }), "{name:?}");
        // Nor does a name taken out of the error get past.
        let again = error.name().lock().acquire(&mut db.conn()).map(drop);
        assert!(
            matches!(again, Err(LockError::InvalidName { .. })),
            "{name:?}"
        );
    }
    for name in ["x", "é", &"x".repeat(64), &"é".repeat(64), "a b", "a'b\\"] {
        let exact = LockName::exact(name).unwrap_or_else(|error| panic!("{error}"));
        let conn = &mut db.conn();
        let held = exact
            .lock()
            .no_wait()
            .acquire(conn)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(db.holder_of_written(name).is_some(), "{name:?}");
        held.release().unwrap();
    }

    let taken_for = |first: &str, second: &str| {
        let conn = &mut db.conn();
        take_raw(conn, first).unwrap();
        db.holder_of_written(second).is_some()
    };
    assert!(taken_for("cut\0a", "cut\0b"), "a NUL no longer cuts a name");
    assert!(!taken_for("space", "space "));
    for (capital, small) in [("É", "é"), ("İ", "i"), ("\u{212A}", "k"), ("Job", "job")] {
        assert_eq!(
            taken_for(capital, small),
            !db.is_mariadb(),
            "{capital} for {small}"
        );
    }
    let conn = &mut db.conn();
    assert_eq!(take_raw(conn, "🔒").is_err(), !db.is_mariadb());
    assert_eq!(take_raw(conn, &"x".repeat(65)).is_err(), !db.is_mariadb());
    assert!(take_raw(conn, &"x".repeat(193)).is_err());
}

fn take_raw(conn: &mut MysqlConnection, name: &str) -> QueryResult<Option<i32>> {
    use diesel::sql_types::{Integer, Nullable, Text};
    diesel::select(
        diesel::dsl::sql::<Nullable<Integer>>("CAST(GET_LOCK(")
            .bind::<Text, _>(name)
            .sql(", 0) AS SIGNED)"),
    )
    .get_result(conn)
}
