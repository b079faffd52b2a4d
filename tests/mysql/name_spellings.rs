//! Two spellings of one name in a set. MySQL ignores the case of lock names, and MariaDB does not.

use std::sync::atomic::Ordering;
use std::thread;

use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::{is_mariadb, session_id};
use crate::suite::support::{Counter, Db};

const STALE: i64 = -1;

/// A name that on MySQL is the lock of `model`.
fn in_capitals(db: &Db, model: &Counter) -> LockName {
    LockName::exact(db.full_name(&model.lock_name()).to_uppercase()).unwrap()
}

#[server_test]
fn model_beside_its_own_lock_in_capitals_is_reloaded(db: &Db) {
    db.counter(1);
    let model = &mut Counter {
        id: 1,
        value: STALE,
    };
    let capitals = in_capitals(db, model);
    let conn = &mut db.conn();
    let id = session_id(conn);
    let body = |model: &mut Counter| {
        assert_eq!(model.value, 0);
        assert_eq!(db.holder(&model.lock_name()), Some(id));
        model.value = STALE;
        Ok::<_, LockError>(())
    };
    lock_all((&mut *model, &capitals))
        .run(conn, |(model, _), _| body(model))
        .unwrap();
    lock_all((&capitals, &mut *model))
        .run(conn, |(_, model), _| body(model))
        .unwrap();
    let set = lock_all((&mut *model, &capitals));
    set.transaction(conn, |(model, _), _| body(model)).unwrap();
    let set = lock_all((&capitals, &mut *model));
    set.transaction(conn, |(_, model), _| body(model)).unwrap();
    db.assert_free(&model.lock_name());
    db.assert_free(&capitals);
}

#[server_test]
fn lock_in_capitals_beside_its_model_keeps_the_connection_healthy(db: &Db) {
    let mut model = db.counter(1);
    let capitals = in_capitals(db, &model);
    let (pool, events) = db.pool(1);
    let locks = LockPool::new(pool.clone());
    for _ in 0..3 {
        let set = lock_all((&mut model, &capitals));
        LockPool::new(pool.clone())
            .run(set, |_, _| Ok::<_, LockError>(()))
            .unwrap();
        let set = lock_all((&capitals, &mut model));
        LockPool::new(pool.clone())
            .transaction(set, |_, _| Ok::<_, LockError>(()))
            .unwrap();
        let set = lock_all((&mut model, &capitals));
        locks
            .transaction(set, |_, _| Ok::<_, LockError>(()))
            .unwrap();
        let set = lock_all((&capitals, &mut model));
        locks.run(set, |_, _| Ok::<_, LockError>(())).unwrap();
        let set = lock_all((&capitals, &mut model));
        set.run(&mut pool.get().unwrap(), |_, _| Ok::<_, LockError>(()))
            .unwrap();
        db.assert_free(&model.lock_name());
        db.assert_free(&capitals);
    }
    assert_eq!(events.discarded.load(Ordering::SeqCst), 0);
    db.assert_idle(&locks);
}

/// Each caller spells the lock in capitals that the other one acquires by its row.
#[server_test]
fn callers_that_spell_two_locks_differently_do_not_deadlock(db: &Db) {
    const TIMES: i64 = 50;
    let models = [db.counter(1), db.counter(2)];
    let capitals = models.each_ref().map(|model| in_capitals(db, model));
    let (pool, locks) = (db.pool(4).0, db.locks(4));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (models, capitals, pool, locks) = (&models, &capitals, &pool, &locks);
            scope.spawn(move || {
                let (mine, other) = (thread % 2, 1 - thread % 2);
                let mut model = models[mine].clone();
                for _ in 0..TIMES {
                    let add_one =
                        |(_, model): (&LockName, &mut Counter), conn: &mut _| model.add_one(conn);
                    let set = lock_all((&capitals[other], &mut model));
                    let run = match thread {
                        0 | 1 => LockPool::new(pool.clone()).run(set, add_one),
                        _ => locks.transaction(set, add_one),
                    };
                    run.unwrap();
                }
            });
        }
    });
    assert_eq!([db.value(1), db.value(2)], [2 * TIMES; 2]);
    db.assert_idle(&locks);
}

#[server_test]
fn nested_lock_in_capitals_is_released_once(db: &Db) {
    let mut model = db.counter(1);
    let name = model.lock_name();
    let capitals = in_capitals(db, &model);
    let conn = &mut db.conn();
    let id = session_id(conn);
    let run = model.with_lock(conn, |model, conn| {
        lock_all((&capitals, &mut *model)).run(conn, |_, _| Ok::<_, LockError>(()))?;
        assert_eq!(db.holder(&name), Some(id));
        let held = capitals.lock().acquire(conn)?;
        assert_eq!(held.is_reentrant(), !is_mariadb(db));
        held.release()?;
        assert_eq!(db.holder(&name), Some(id));
        Ok::<_, LockError>(())
    });
    run.unwrap();
    db.assert_free(&name);
}
