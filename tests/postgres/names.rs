//! Names on PostgreSQL: the key of a name, as the library, the server and the SQL of the
//! documentation compute it.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};
use diesel_advisory_lock::LockStatus;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::docs::{golden_values, sql_of_lock_names, sql_of_operations};
use crate::server::{Conn, session_id};
use crate::suite::support::{Db, documents};

/// The advisory locks that a session holds: `objsubid` and the 64 bits of the key.
pub(crate) fn held_keys(conn: &mut Conn, session: i64) -> Vec<(i64, i64)> {
    let numbers: Vec<i64> = diesel::select(sql::<Array<BigInt>>(&format!(
        "ARRAY(SELECT unnest(ARRAY[objsubid::bigint, (classid::bigint << 32) | objid::bigint]) \
         FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = {session})"
    )))
    .get_result(conn)
    .unwrap();
    let mut keys: Vec<_> = numbers.chunks(2).map(|row| (row[0], row[1])).collect();
    keys.sort_unstable();
    keys
}

/// A row of a table that is a value.
pub(crate) fn row_in(table: &str) -> LockName {
    LockName::row_unchecked(diesel_dynamic_schema::table(table.to_owned()), 42)
}

/// An identifier in SQL.
fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[server_test]
fn server_computes_the_golden_keys(db: &Db) {
    #[derive(QueryableByName)]
    struct Computed {
        #[diesel(sql_type = BigInt)]
        key: i64,
    }
    let conn = &mut db.conn();
    let query = sql_of_operations("SELECT ('x' || left(encode(sha256(");
    let (query, _) = query.split_once(';').unwrap();
    for golden in golden_values() {
        let name = match (&*golden.kind, golden.full_name.split_once('/')) {
            ("named", Some((_, text))) if golden.namespace.is_none() => format!("e3b0c442/{text}"),
            _ => golden.full_name.clone(),
        };
        let query = query.replace("a172cedc/notifications:42", &name) + " AS key";
        let computed: Computed = diesel::sql_query(query).get_result(conn).unwrap();
        assert_eq!(computed.key, golden.postgres_key, "{golden:?}");
    }
}

const FUNCTION: &str = "-- The full name of a row,";

/// The function takes the key as text, so only keys whose text is their value are compared.
#[server_test]
fn documented_function_computes_the_golden_names(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute(sql_of_lock_names(FUNCTION)).unwrap();
    let mut compared = 0;
    for golden in golden_values() {
        let is_text = |type_: &String| matches!(&**type_, "str" | "String" | "i32" | "i64" | "u64");
        let is_storable = |part: &String| !part.contains('\0');
        if golden.kind != "row"
            || !golden.types.iter().all(is_text)
            || !golden.key.iter().all(is_storable)
        {
            continue;
        }
        let (in_schema, table) = match golden.object.split_once('.') {
            Some((schema, table)) if golden.object != "a.b" => (schema, table),
            _ => ("app", &*golden.object),
        };
        let name: String = diesel::select(
            sql::<Text>("pg_temp.lock_name(")
                .bind::<Text, _>(golden.namespace.as_deref().unwrap_or(in_schema))
                .sql(", ")
                .bind::<Text, _>(table)
                .sql(", ")
                .bind::<Array<Text>, _>(&golden.key)
                .sql(", ")
                .bind::<Nullable<Text>, _>(&golden.scope)
                .sql(")"),
        )
        .get_result(conn)
        .unwrap();
        assert_eq!(name, golden.full_name, "{golden:?}");
        compared += 1;
    }
    assert!(compared > 50, "only {compared} names");
}

#[server_test]
fn documented_queries_find_the_locked_rows(db: &Db) {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, QueryableByName)]
    struct Locked {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Integer)]
        pid: i32,
    }
    db.execute(
        "CREATE TABLE notifications (id INT PRIMARY KEY);
         INSERT INTO notifications SELECT generate_series(-50, 50);
         INSERT INTO documents VALUES ('Alice', ''), ('alice', ''), ('\u{c9}', ''), ('', '')",
    );
    let (holder, observer) = (&mut db.conn(), &mut db.conn());
    observer.batch_execute(sql_of_lock_names(FUNCTION)).unwrap();
    let pid = i32::try_from(session_id(holder)).unwrap();
    let notification = |id: i32| {
        let table = diesel_dynamic_schema::table("notifications".to_owned());
        LockName::row_unchecked(table, id)
    };
    let sets = [
        (
            "-- The locked rows of `notifications`",
            vec![
                notification(-7),
                notification(7),
                notification(42),
                notification(42).scope("send"),
            ],
        ),
        (
            "-- The locked rows of `documents`",
            ["", "Alice", "É"]
                .map(|key| LockName::row(documents::table, key))
                .to_vec(),
        ),
    ];
    for (start, names) in sets {
        let keys = names.iter().map(|name| name.postgres_key("public"));
        let (negative, positive): (Vec<_>, Vec<_>) = keys.partition(|key| *key < 0);
        assert!(!negative.is_empty() && !positive.is_empty(), "{names:?}");
        let mut find = || {
            let query = diesel::sql_query(sql_of_lock_names(start));
            let mut rows: Vec<Locked> = query.load(observer).unwrap();
            rows.sort();
            rows
        };
        let full_name = |name: &LockName| name.full_name("public");
        let mut expected: Vec<_> = names
            .iter()
            .map(full_name)
            .map(|name| Locked { name, pid })
            .collect();
        expected.sort();
        // Also the lock of a row of another table, and of another program.
        let others = [LockName::named("job"), LockName::exact_keys(1, 2)];
        let others = lock_all(others).acquire(holder).unwrap();
        assert_eq!(find(), []);
        others.release().unwrap();
        let held = lock_all(names).acquire(holder).unwrap();
        assert_eq!(find(), expected);
        held.release().unwrap();
        assert_eq!(find(), []);
    }
}

/// Names of tables that need quotes, or that a careless quotation would change.
const TABLES: [&str; 9] = [
    "Users",
    "a.b",
    "it's",
    "say \"hi\"",
    "back\\slash",
    "select",
    "café",
    "$1",
    "a b; --",
];

/// Names, each with the schema of its table.
fn names() -> Vec<(LockName, &'static str)> {
    let long = "x".repeat(100);
    let memberships = || diesel_dynamic_schema::table("memberships".to_owned());
    let row = row_in("memberships");
    let mut names = vec![
        (row.clone(), "public"),
        (row.clone().scope("send"), "public"),
        (row.clone().scope("Envoyé"), "public"),
        (row.namespace("École"), "public"),
        (LockName::table(memberships()), "public"),
        (LockName::table(memberships()).scope("rebuild"), "public"),
        (
            LockName::row_unchecked(memberships(), (7, "alice")),
            "public",
        ),
        (
            LockName::row_unchecked(memberships(), (7, "a,b")).scope("send"),
            "public",
        ),
        (LockName::named("nightly-report"), ""),
        (LockName::named("Nightly report").scope("eu"), ""),
        (LockName::named("job").namespace("app"), ""),
        (LockName::exact("Rapport d'été \"1\" \\ */").unwrap(), ""),
        (LockName::exact("plain").unwrap(), ""),
    ];
    for key in ["Alice", "É", "\u{212a}", "🔒", "a\0b", "'\"\\", "", &long] {
        names.push((LockName::row_unchecked(memberships(), key), "public"));
    }
    names
}

fn create_tables(conn: &mut Conn, tables: &[&str]) {
    for table in [&["memberships"], tables].concat() {
        conn.batch_execute(&format!("CREATE TABLE {} (id INT)", quoted(table)))
            .unwrap();
    }
}

/// Tests that a session acquires exactly the key of each name: at once, in a transaction that
/// begins with the lock, behind another session, and in a set.
fn assert_keys(names: &[(LockName, &str)], holder: &mut Conn, conn: &mut Conn, what: &str) {
    let id = session_id(conn);
    for (name, schema) in names {
        let what = format!("{name:?}, {what}");
        let key = vec![(1, name.postgres_key(schema))];
        let held = name
            .lock()
            .acquire(conn)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(held_keys(holder, id), key, "{what}");
        let status = name.status(holder).unwrap();
        assert!(
            matches!(status, LockStatus::HeldBy { .. }),
            "{what}: {status:?}"
        );
        held.release().unwrap();
        let run = name.lock().transaction(conn, |_, _| {
            assert_eq!(held_keys(holder, id), key, "in a transaction: {what}");
            Ok::<_, LockError>(())
        });
        run.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(held_keys(holder, id), [], "{what}");

        let held = name.lock().acquire(holder).unwrap();
        let wait = std::time::Duration::from_millis(1);
        for error in [
            name.lock().timeout(wait).acquire(conn).map(drop),
            name.lock()
                .timeout(wait)
                .transaction(conn, |_, _| Ok::<_, LockError>(())),
        ] {
            let error = error.unwrap_err();
            assert!(
                matches!(error, LockError::Timeout { .. }),
                "{what}: {error}"
            );
            assert!(error.holder().is_some(), "{what}: {error}");
        }
        held.release().unwrap();
    }
    let mut keys: Vec<_> = names
        .iter()
        .map(|(name, schema)| (1, name.postgres_key(schema)))
        .collect();
    keys.sort_unstable();
    let all: Vec<_> = names.iter().map(|(name, _)| name.clone()).collect();
    lock_all(all.clone())
        .run(conn, |_, _| {
            assert_eq!(held_keys(holder, id), keys, "{what}");
            Ok::<_, LockError>(())
        })
        .unwrap();
    lock_all(all)
        .transaction(conn, |_, _| {
            assert_eq!(held_keys(holder, id), keys, "{what}");
            Ok::<_, LockError>(())
        })
        .unwrap();
    assert_eq!(held_keys(holder, id), [], "{what}");
}

#[server_test]
fn session_acquires_the_key_that_the_library_computes(db: &Db) {
    let (holder, conn) = (&mut db.conn(), &mut db.conn());
    create_tables(conn, &TABLES);
    let mut names = names();
    names.extend(TABLES.map(|table| (row_in(table), "public")));
    assert_keys(&names, holder, conn, "UTF8");
}

/// The text of a name reaches the server as the bytes of its UTF-8.
#[server_test]
fn client_encoding_does_not_change_the_key(db: &Db) {
    let (holder, conn) = (&mut db.conn(), &mut db.conn());
    create_tables(conn, &TABLES);
    let mut names = names();
    names.extend(TABLES.map(|table| (row_in(table), "public")));
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1251"] {
        conn.batch_execute(&format!("SET client_encoding = '{encoding}'"))
            .unwrap();
        assert_keys(&names, holder, conn, encoding);
    }
}

#[server_test]
fn encoding_of_the_database_does_not_change_the_key(db: &Db) {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = format!("{}_{}", db.schema, encoding.to_lowercase());
        db.execute(&format!(
            "CREATE DATABASE {database} ENCODING {encoding} LC_COLLATE 'C' LC_CTYPE 'C' \
             TEMPLATE template0"
        ));
        let url = db.url().replace(&db.schema, &database);
        let connect = || Conn::establish(&url).unwrap();
        let (holder, conn) = (&mut connect(), &mut connect());
        create_tables(conn, &TABLES);
        let mut names = names();
        names.extend(TABLES.map(|table| (row_in(table), "public")));
        assert_keys(&names, holder, conn, encoding);
        // The schema has bytes of that encoding.
        let schema = "\u{c9}cole";
        for conn in [&mut *holder, conn] {
            conn.batch_execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS \"{schema}\"; SET search_path = \"{schema}\""
            ))
            .unwrap();
        }
        create_tables(conn, &[]);
        assert_keys(&[(row_in("memberships"), schema)], holder, conn, encoding);
        db.execute(&format!("DROP DATABASE {database} WITH (FORCE)"));
    }
}
