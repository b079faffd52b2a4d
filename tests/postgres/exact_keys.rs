//! `LockName::exact_key` and `exact_keys`: locks that are shared with programs that have their own
//! numbers.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_advisory_lock::LockStatus;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::names::held_keys;
use crate::server::{Conn, session_id};
use crate::suite::support::Db;

/// Names of numbers, each with the arguments of `pg_advisory_lock` and its place in `pg_locks`.
fn keys() -> Vec<(LockName, String, (i64, i64))> {
    let one = [0, 1, -1, 42, 1 << 32, i64::MAX, i64::MIN].map(|key| {
        let name = LockName::exact_key(key);
        (name, format!("({key})::bigint"), (1, key))
    });
    let two = [
        (0, 0),
        (1, 2),
        (2, 1),
        (0, 42),
        (7, -2),
        (-7, 2),
        (-1, -1),
        (i32::MIN, i32::MAX),
        (i32::MAX, i32::MIN),
        (i32::MIN, i32::MIN),
    ]
    .map(|(first, second)| {
        let name = LockName::exact_keys(first, second);
        let bits = (i64::from(first) << 32) | (i64::from(second) & 0xFFFF_FFFF);
        let arguments = format!("({first})::int, ({second})::int");
        (name, arguments, (2, bits))
    });
    one.into_iter().chain(two).collect()
}

fn call(conn: &mut Conn, function: &str, arguments: &str) -> bool {
    diesel::select(sql::<Bool>(&format!("{function}({arguments})")))
        .get_result(conn)
        .unwrap()
}

fn acquire_raw(conn: &mut Conn, arguments: &str) -> bool {
    call(conn, "pg_try_advisory_lock", arguments)
}

fn release_raw(conn: &mut Conn, arguments: &str) {
    assert!(call(conn, "pg_advisory_unlock", arguments), "{arguments}");
}

#[server_test]
fn exact_key_excludes_raw_sql_on_the_same_key(db: &Db) {
    let (conn, other) = (&mut db.conn(), &mut db.conn());
    let id = session_id(conn);
    let is_excluded = |other: &mut Conn, arguments: &str, place: (i64, i64)| {
        assert_eq!(held_keys(other, id), [place], "{arguments}");
        !acquire_raw(other, arguments)
    };
    for (name, arguments, place) in keys() {
        let held = name.lock().acquire(conn).unwrap();
        assert!(is_excluded(other, &arguments, place), "{name}");
        assert!(matches!(
            name.status(other).unwrap(),
            LockStatus::HeldBy { .. }
        ));
        held.release().unwrap();
        let body = |_, _: &mut Conn| {
            assert!(is_excluded(other, &arguments, place), "{name}");
            Ok::<_, LockError>(())
        };
        name.lock().transaction(conn, body).unwrap();
        assert!(acquire_raw(other, &arguments), "{name} is still held");
        release_raw(other, &arguments);
    }
}

#[server_test]
fn raw_sql_excludes_exact_key_on_the_same_key(db: &Db) {
    let (conn, other) = (&mut db.conn(), &mut db.conn());
    let other_id = u64::try_from(session_id(other)).unwrap();
    let wait = std::time::Duration::from_millis(1);
    for (name, arguments, _) in keys() {
        assert!(acquire_raw(other, &arguments));
        assert!(name.lock().try_acquire(conn).unwrap().is_none(), "{name}");
        let ran = name
            .lock()
            .try_transaction(conn, |_, _| Ok::<_, LockError>(()));
        assert_eq!(ran.unwrap(), None, "{name}");
        for error in [
            name.lock().timeout(wait).acquire(conn).map(drop),
            name.lock()
                .timeout(wait)
                .transaction(conn, |_, _| Ok::<_, LockError>(())),
        ] {
            let error = error.unwrap_err();
            let holder = error.holder().map(|holder| holder.connection_id);
            assert_eq!(holder, Some(other_id), "{error}");
        }
        release_raw(other, &arguments);
        name.lock()
            .try_acquire(conn)
            .unwrap()
            .unwrap()
            .release()
            .unwrap();
    }
}

/// All are held at once, each by another session. Some have the same 64 bits.
#[server_test]
fn exact_keys_are_distinct_locks(db: &Db) {
    let keys = keys();
    let mut conns: Vec<_> = keys.iter().map(|_| db.conn()).collect();
    let held = keys.iter().zip(&mut conns).map(|((name, ..), conn)| {
        let held = name.lock().try_acquire(conn).unwrap();
        held.unwrap_or_else(|| panic!("{name} is held"))
    });
    let held: Vec<_> = held.collect();
    held.into_iter().for_each(|held| held.release().unwrap());
}

#[server_test]
fn set_of_exact_keys_and_names_holds_all_of_them(db: &Db) {
    let (conn, other) = (&mut db.conn(), &mut db.conn());
    let id = session_id(conn);
    let job = LockName::named("job");
    let names: Vec<_> = keys().into_iter().map(|(name, ..)| name).collect();
    let mut places: Vec<_> = keys().into_iter().map(|(.., place)| place).collect();
    places.push((1, job.postgres_key("")));
    places.sort_unstable();
    let set = || lock_all((names.clone(), &job, names.clone()));
    let mut body = |_: &mut Conn| {
        assert_eq!(held_keys(other, id), places);
        Ok::<_, LockError>(())
    };
    set().run(conn, |_, conn| body(conn)).unwrap();
    set().transaction(conn, |_, conn| body(conn)).unwrap();
    let held = set().acquire(conn).unwrap();
    held.release().unwrap();
    assert_eq!(held_keys(other, id), []);
}

/// A key that a name happens to have is the lock of that name.
#[server_test]
fn exact_key_of_a_name_is_the_lock_of_the_name(db: &Db) {
    let (conn, other) = (&mut db.conn(), &mut db.conn());
    let name = LockName::named("job");
    let key = LockName::exact_key(name.postgres_key(""));
    let held = key.lock().acquire(conn).unwrap();
    assert!(name.lock().try_acquire(other).unwrap().is_none());
    held.release().unwrap();
    lock_all((&name, &key))
        .run(conn, |_, conn| {
            let held = key.lock().acquire(conn)?;
            assert!(held.is_reentrant());
            held.release()?;
            let held = name.lock().acquire(conn)?;
            assert!(held.is_reentrant());
            held.release()
        })
        .unwrap();
    db.assert_free(&name);
}

#[server_test]
fn exact_key_with_scope_or_namespace_is_refused(db: &Db) {
    let (conn, locks) = (&mut db.conn(), &db.locks(1));
    for (name, ..) in keys() {
        for name in [name.clone().scope("x"), name.clone().namespace("x")] {
            let never = |_: &mut Conn| -> Result<(), LockError> { panic!("the closure ran") };
            for refused in [
                name.lock().acquire(conn).map(drop),
                name.lock().try_acquire(conn).map(drop),
                name.lock().run(conn, |_, conn| never(conn)),
                name.lock().transaction(conn, |_, conn| never(conn)),
                lock_all([LockName::named("job"), name.clone()]).run(conn, |_, conn| never(conn)),
                locks.run(name.lock(), |_, conn| never(conn)),
                locks.acquire(name.lock()).map(drop),
                name.status(conn).map(drop),
            ] {
                let is_refused =
                    matches!(&refused, Err(LockError::InvalidName { name: it, .. }) if *it == name);
                assert!(is_refused, "{refused:?}");
            }
        }
        for lock in [name.lock().scope("x"), name.lock().namespace("x")] {
            let refused = lock.acquire(conn).map(drop);
            assert!(
                matches!(refused, Err(LockError::InvalidName { .. })),
                "{refused:?}"
            );
        }
    }
    assert_eq!(locks.state().names, 0);
}
