//! Two spellings of one name in a set: MySQL takes capitals for small letters, and MariaDB does not.

use std::sync::atomic::Ordering;
use std::thread;

use diesel_advisory_lock::prelude::*;

use crate::support::{Counter, Db, session_id};

cases![
    model_beside_its_own_lock_in_capitals_is_reloaded,
    lock_in_capitals_beside_its_model_keeps_the_connection_healthy,
    callers_that_spell_two_locks_differently_do_not_deadlock,
    nested_lock_in_capitals_is_released_once,
];

const STALE: i64 = -1;

/// On MySQL, the lock of `model` once more.
fn in_capitals(db: &Db, model: &Counter) -> LockName {
    LockName::exact(model.lock_name().written(&db.schema).to_uppercase()).unwrap()
}

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
    lock_all((&mut *model, &capitals), conn, |(model, _), _| body(model)).unwrap();
    lock_all((&capitals, &mut *model), conn, |(_, model), _| body(model)).unwrap();
    let set = LockAll::of((&mut *model, &capitals));
    set.transaction(conn, |(model, _), _| body(model)).unwrap();
    let set = LockAll::of((&capitals, &mut *model));
    set.transaction(conn, |(_, model), _| body(model)).unwrap();
    db.assert_free(&model.lock_name());
    db.assert_free(&capitals);
}

fn lock_in_capitals_beside_its_model_keeps_the_connection_healthy(db: &Db) {
    let mut model = db.counter(1);
    let capitals = in_capitals(db, &model);
    let (pool, events) = db.pool(1);
    let locks = LockPool::new(pool.clone());
    for _ in 0..3 {
        let set = LockAll::of((&mut model, &capitals));
        set.run_from(&pool, |_, _| Ok::<_, LockError>(())).unwrap();
        let set = LockAll::of((&capitals, &mut model));
        set.transaction_from(&pool, |_, _| Ok::<_, LockError>(()))
            .unwrap();
        let set = LockAll::of((&mut model, &capitals));
        set.transaction_from(&locks, |_, _| Ok::<_, LockError>(()))
            .unwrap();
        let set = LockAll::of((&capitals, &mut model));
        set.run_from(&locks, |_, _| Ok::<_, LockError>(())).unwrap();
        let set = LockAll::of((&capitals, &mut model));
        set.run(&mut pool.get().unwrap(), |_, _| Ok::<_, LockError>(()))
            .unwrap();
        db.assert_free(&model.lock_name());
        db.assert_free(&capitals);
    }
    assert_eq!(events.discarded.load(Ordering::SeqCst), 0);
    db.assert_idle(&locks);
}

/// Each spells the lock in capitals that the other locks as a row, and in the other order.
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
                    let set = LockAll::of((&capitals[other], &mut model));
                    let run = match thread {
                        0 | 1 => set.run_from(pool, add_one),
                        _ => set.transaction_from(locks, add_one),
                    };
                    run.unwrap();
                }
            });
        }
    });
    assert_eq!([db.value(1), db.value(2)], [2 * TIMES; 2]);
    db.assert_idle(&locks);
}

fn nested_lock_in_capitals_is_released_once(db: &Db) {
    let mut model = db.counter(1);
    let name = model.lock_name();
    let capitals = in_capitals(db, &model);
    let conn = &mut db.conn();
    let id = session_id(conn);
    let run = model.with_lock(conn, |model, conn| {
        lock_all(
            (&capitals, &mut *model),
            conn,
            |_, _| Ok::<_, LockError>(()),
        )?;
        assert_eq!(db.holder(&name), Some(id));
        let held = capitals.lock().acquire(conn)?;
        assert_eq!(held.is_nested(), !db.is_mariadb());
        held.release()?;
        assert_eq!(db.holder(&name), Some(id));
        Ok::<_, LockError>(())
    });
    run.unwrap();
    db.assert_free(&name);
}
