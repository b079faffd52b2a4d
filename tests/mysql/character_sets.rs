//! Sessions with different character sets have the same locks.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::LockStatus;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::session_id;
use crate::suite::support::{Counter, Db, Path, counters, documents, second_lock};

/// The first is the default of a connection.
const SETTINGS: [&str; 7] = [
    "SET NAMES utf8mb4",
    "SET character_set_connection = utf16",
    "SET character_set_connection = utf32",
    "SET NAMES latin1",
    "SET collation_connection = latin1_swedish_ci",
    "SET NAMES binary",
    "SET character_set_results = latin1, character_set_client = latin1",
];

fn conn(db: &Db, setting: &str) -> MysqlConnection {
    let mut conn = db.conn();
    conn.batch_execute(setting).unwrap();
    conn
}

fn names(db: &Db) -> Vec<LockName> {
    vec![
        LockName::named("job"),
        LockName::named("Nächtlicher Bericht"),
        LockName::named("job").namespace(format!("beside {}", db.schema)),
        LockName::row(counters::table, 1),
        LockName::row(counters::table, 1).scope("send"),
        LockName::row(documents::table, "café"),
        LockName::exact(format!("job of {}", db.schema)).unwrap(),
        LockName::exact(format!("café {}", db.schema)).unwrap(),
        LockName::exact(format!("日本 {}", db.schema)).unwrap(),
    ]
}

#[server_test]
fn sessions_of_different_character_sets_exclude_each_other(db: &Db) {
    for first in SETTINGS {
        let holder = &mut conn(db, first);
        let id = session_id(holder);
        for second in SETTINGS {
            let other = &mut conn(db, second);
            for name in names(db) {
                let of = format!("{name} under `{first}`, `{second}`");
                let mut held = name.lock().acquire(holder).expect(&of);
                held.verify().expect(&of);
                assert_eq!(db.holder(&name), Some(id), "{of}");
                assert!(name.lock().try_acquire(other).unwrap().is_none(), "{of}");
                let connection_id = id.try_into().unwrap();
                let status = name.status(other).unwrap();
                assert_eq!(status, LockStatus::HeldBy { connection_id }, "{of}");
                assert_eq!(
                    name.status(&mut held).unwrap(),
                    LockStatus::HeldHere,
                    "{of}"
                );
                let nested = name.lock().acquire(&mut held).unwrap();
                assert!(nested.is_reentrant(), "{of}");
                nested.release().expect(&of);
                held.release().expect(&of);
                assert_eq!(name.status(other).unwrap(), LockStatus::Free, "{of}");
            }
        }
    }
}

/// A wait is another statement.
#[server_test]
fn wait_in_another_character_set_times_out(db: &Db) {
    let holder = &mut db.conn();
    for setting in SETTINGS {
        let conn = &mut conn(db, setting);
        for name in names(db) {
            let held = name.lock().acquire(holder).unwrap();
            let request = || name.lock().timeout(Duration::from_millis(5));
            let error = request().acquire(conn).unwrap_err();
            let LockError::Timeout {
                holder: Some(_), ..
            } = &error
            else {
                panic!("{name} under `{setting}`: {error:?}");
            };
            held.release().unwrap();
            request().acquire(conn).unwrap().release().unwrap();
        }
    }
}

#[server_test]
fn lock_in_another_character_set_is_the_same_on_every_path(db: &Db) {
    let name = db.counter(1).lock_name();
    for path in Path::all() {
        let mut client = path.client(db);
        for setting in SETTINGS {
            client.with(|conn| conn.batch_execute(setting).unwrap());
            let mut counter = Counter { id: 1, value: 0 };
            let run = client.run(&mut counter, |_, conn| {
                let id = Some(session_id(conn));
                assert_eq!(db.holder(&name), id, "{setting}, {path:?}");
                if path.form.is_set() {
                    assert_eq!(db.holder(&second_lock()), id, "{setting}, {path:?}");
                }
                Ok(())
            });
            run.unwrap_or_else(|error| panic!("{setting}, {path:?}: {error:?}"));
            db.assert_free(&name);
        }
    }
}

#[server_test]
fn set_in_another_character_set_is_acquired_and_released(db: &Db) {
    let names = names(db);
    for setting in SETTINGS {
        let conn = &mut conn(db, setting);
        let id = Some(session_id(conn));
        lock_all(names.clone())
            .run(conn, |names, _| {
                for name in &names {
                    assert_eq!(db.holder(name), id, "{name} under `{setting}`");
                }
                Ok::<_, LockError>(())
            })
            .unwrap();
        names.iter().for_each(|name| db.assert_free(name));
    }
}

#[server_test]
fn transaction_in_another_character_set_detects_a_lost_lock(db: &Db) {
    let names = names(db);
    for setting in SETTINGS {
        let conn = &mut conn(db, setting);
        let run = lock_all(names.clone()).transaction(conn, |_, _| Ok::<_, LockError>(()));
        run.unwrap_or_else(|error| panic!("{setting}: {error:?}"));
        for lost in &names {
            let conn = &mut self::conn(db, setting);
            let run = lock_all(names.clone()).transaction(conn, |_, conn| {
                // This statement does not depend on the setting.
                let hex = data_encoding::HEXUPPER.encode(db.full_name(lost).as_bytes());
                let sql = format!("DO RELEASE_LOCK(CONVERT(X'{hex}' USING utf8mb4))");
                conn.batch_execute(&sql).unwrap();
                Ok(())
            });
            match run {
                Err(LockError::Lost { name, .. }) => assert_eq!(name, *lost, "{setting}"),
                other => panic!("{lost} under `{setting}`: {other:?}"),
            }
            names.iter().for_each(|name| db.assert_free(name));
        }
    }
}

#[server_test(mariadb)]
fn empty_string_is_null_mode_keeps_the_namespace_without_a_schema(db: &Db) {
    let name = LockName::named(format!("of {}", db.schema));
    let without_schema = || db.conn_without_schema();
    let (conn, other) = (&mut without_schema(), &mut without_schema());
    conn.batch_execute("SET sql_mode = CONCAT(@@sql_mode, ',EMPTY_STRING_IS_NULL')")
        .unwrap();
    let id = session_id(conn);
    for _ in 0..2 {
        let held = name.lock().acquire(conn).unwrap();
        assert_eq!(db.holder_of(&name.full_name("")), Some(id));
        assert!(name.lock().try_acquire(other).unwrap().is_none());
        held.release().unwrap();
    }
    assert_eq!(name.status(conn).unwrap(), LockStatus::Free);
    lock_all([&name])
        .run(conn, |_, _| Ok::<_, LockError>(()))
        .unwrap();
}
