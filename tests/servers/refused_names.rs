//! A name that no server is asked for is refused before anything else, wherever it stands.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::support::{Db, session_id};

cases![
    refused_name_is_not_equal_to_the_valid_one,
    refused_name_behind_a_valid_holder_is_refused_at_once,
    refused_name_is_refused_by_every_form,
    refused_name_in_a_set_is_refused_before_any_is_acquired,
    refused_name_inside_its_valid_lock_is_refused,
];

/// None of these calls is to wait.
const LONG: Duration = Duration::from_secs(9);

/// Such a name has no namespace, and other cases use the same server.
fn valid(db: &Db) -> LockName {
    LockName::exact(format!("Counter|{}", db.schema)).unwrap()
}

/// Each looks like the valid one.
fn refused(db: &Db) -> [LockName; 2] {
    [valid(db).scope("x"), valid(db).namespace("x")]
}

#[track_caller]
fn assert_refused<R>(run: Result<R, LockError>) {
    match run.map(|_| ()) {
        Err(LockError::InvalidName { name, .. }) => {
            assert!(name.to_string().starts_with("Counter|"), "{name}")
        }
        other => panic!("{other:?}"),
    }
}

fn refused_name_is_not_equal_to_the_valid_one(db: &Db) {
    for name in refused(db) {
        assert_ne!(name, valid(db));
        assert_eq!(HashSet::from([name.clone(), valid(db), name]).len(), 2);
    }
}

/// With a turn, it would be handed the lock of the valid one.
fn refused_name_behind_a_valid_holder_is_refused_at_once(db: &Db) {
    let locks = &db.locks(2);
    let held = valid(db).lock().acquire_from(locks).unwrap();
    for name in refused(db) {
        assert_refused(name.lock().timeout(LONG).acquire_from(locks));
        assert_refused(name.lock().try_acquire_from(locks));
        assert_refused(name.lock().hold_from(locks, never));
        assert_refused(name.lock().try_hold_from(locks, never));
        let set = || LockAll::of([name.clone()]).timeout(LONG);
        assert_refused(set().run_from(locks, |_, conn| never(conn)));
        assert_refused(set().try_transaction_from(locks, |_, conn| never(conn)));
        assert_eq!(locks.state().names, 1);
    }
    held.release().unwrap();
    db.assert_idle(locks);
}

fn never(_: &mut MysqlConnection) -> Result<(), LockError> {
    panic!("the closure ran")
}

/// While another session has the valid one, and while none has.
fn refused_name_is_refused_by_every_form(db: &Db) {
    let (conn, other, pool) = (&mut db.conn(), &mut db.conn(), &db.pool(1).0);
    for is_taken in [false, true] {
        let held = is_taken.then(|| valid(db).lock().acquire(other).unwrap());
        for name in refused(db) {
            assert_refused(name.lock().acquire(conn));
            assert_refused(name.lock().try_acquire(conn));
            assert_refused(
                name.lock()
                    .timeout(Duration::from_millis(5))
                    .hold(conn, never),
            );
            assert_refused(name.lock().try_hold(conn, never));
            assert_refused(name.lock().acquire_from(pool));
            assert_refused(name.lock().try_hold_from(pool, never));
            assert_refused(name.status(conn));
        }
        held.map(Held::release).transpose().unwrap();
    }
}

fn refused_name_in_a_set_is_refused_before_any_is_acquired(db: &Db) {
    let (conn, pool, locks) = (&mut db.conn(), &db.pool(1).0, &db.locks(1));
    // A lock that the set would wait for, if it were to acquire any: by this namespace, it is the first in order.
    let first = LockName::named(&db.schema).namespace("app");
    let other = &mut db.conn();
    let held = first.lock().acquire(other).unwrap();
    for refused in refused(db) {
        let sets = [
            [valid(db), refused.clone(), first.clone()],
            [refused.clone(), valid(db), first.clone()],
            [first.clone(), valid(db), refused.clone()],
        ];
        for names in sets {
            let set = || LockAll::of(names.clone()).timeout(LONG);
            assert_refused(set().run(conn, |_, conn| never(conn)));
            assert_refused(set().transaction(conn, |_, conn| never(conn)));
            assert_refused(set().try_run(conn, |_, conn| never(conn)));
            assert_refused(set().try_transaction(conn, |_, conn| never(conn)));
            assert_refused(set().run_from(pool, |_, conn| never(conn)));
            assert_refused(set().try_transaction_from(pool, |_, conn| never(conn)));
            assert_refused(set().run_from(locks, |_, conn| never(conn)));
            assert_refused(set().try_transaction_from(locks, |_, conn| never(conn)));
            db.assert_free(&valid(db));
            assert_eq!(locks.state().names, 0);
        }
    }
    held.release().unwrap();
}

/// Nested, it would be granted again.
fn refused_name_inside_its_valid_lock_is_refused(db: &Db) {
    let conn = &mut db.conn();
    let id = session_id(conn);
    let run = valid(db).lock().hold(conn, |conn| {
        for name in refused(db) {
            assert_refused(name.lock().acquire(conn));
            assert_refused(LockAll::of([&valid(db), &name]).run(conn, |_, conn| never(conn)));
            conn.transaction(|conn| {
                assert_refused(name.lock().try_hold(conn, never));
                QueryResult::Ok(())
            })?;
        }
        assert_eq!(db.holder(&valid(db)), Some(id));
        QueryResult::Ok(())
    });
    run.unwrap();
    db.assert_free(&valid(db));
}
