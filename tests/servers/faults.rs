//! Guarantee 5: a loss is reported; and what ends a wait: queries that are killed, deadlocks.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::support::{Db, session_id, until};

cases![
    a_holder_killed_in_the_middle_is_told,
    a_holder_killed_in_a_transaction_has_written_nothing,
    a_holder_idle_for_too_long_is_told,
    a_lock_released_behind_our_back_is_lost,
    a_loss_does_not_hide_the_closures_error,
    a_killed_waiter_is_interrupted,
    a_waiter_whose_session_is_killed_gets_a_database_error,
    crossing_sessions_deadlock_at_once,
    an_error_is_known_in_any_language,
    an_interrupted_waiter_holds_nothing,
    a_statement_killed_at_any_moment_hangs_nobody,
];

fn a_holder_killed_in_the_middle_is_told(db: &Db) {
    let mut counter = db.counter(1);
    let mut next = counter.clone();
    let run: Result<(), LockError> = counter.with_lock(&mut db.conn(), |_, conn| {
        db.execute(&format!("KILL CONNECTION {}", session_id(conn)));
        Ok(())
    });
    let Err(LockError::Lost {
        source: Some(_), ..
    }) = &run
    else {
        panic!("{run:?}");
    };
    assert!(run.unwrap_err().to_string().contains("counters:1"));
    next.with_lock(&mut db.conn(), |_, _| Ok::<_, LockError>(()))
        .unwrap();
}

fn a_holder_killed_in_a_transaction_has_written_nothing(db: &Db) {
    let mut counter = db.counter(1);
    let mut next = counter.clone();
    let conn = &mut db.conn();
    let run: Result<(), LockError> = counter.lock().transaction(conn, |counter, conn| {
        counter.value = 9;
        counter.save(conn).unwrap();
        db.execute(&format!("KILL CONNECTION {}", session_id(conn)));
        Ok(())
    });
    assert!(
        matches!(
            run,
            Err(LockError::Lost { .. } | LockError::Database { .. })
        ),
        "{run:?}"
    );
    let seen = next.with_lock(&mut db.conn(), |next, _| Ok::<_, LockError>(next.value));
    assert_eq!(seen.unwrap(), 0);
    let again = counter.with_lock(conn, |_, _| Ok::<_, LockError>(()));
    assert!(again.is_err(), "a dead connection locks nothing");
}

/// The server ends a session that is silent for `wait_timeout`, and its locks with it.
fn a_holder_idle_for_too_long_is_told(db: &Db) {
    let name = LockName::named("job");
    let run: Result<(), LockError> = name.lock().hold(&mut db.conn(), |conn| {
        conn.batch_execute("SET wait_timeout = 1").unwrap();
        until("the server has ended the session", || {
            db.holder(&name).is_none()
        });
        Ok(())
    });
    assert!(
        matches!(
            run,
            Err(LockError::Lost {
                source: Some(_),
                ..
            })
        ),
        "{run:?}"
    );
}

fn a_lock_released_behind_our_back_is_lost(db: &Db) {
    let name = LockName::named("job");
    let written = name.written(&db.schema);
    let conn = &mut db.conn();
    let mut held = name.lock().acquire(conn).unwrap();
    held.batch_execute(&format!("DO RELEASE_LOCK('{written}')"))
        .unwrap();
    let released = held.release();
    assert!(
        matches!(released, Err(LockError::Lost { source: None, .. })),
        "{released:?}"
    );

    // The same with another session that took it since: 0 instead of NULL.
    let (conn, other) = (&mut db.conn(), &mut db.conn());
    let mut held = name.lock().acquire(conn).unwrap();
    held.batch_execute(&format!("DO RELEASE_LOCK('{written}')"))
        .unwrap();
    let others = name.lock().acquire(other).unwrap();
    let released = held.release();
    assert!(
        matches!(released, Err(LockError::Lost { source: None, .. })),
        "{released:?}"
    );
    others.release().unwrap();
}

fn a_loss_does_not_hide_the_closures_error(db: &Db) {
    let run = LockName::named("job").lock().hold(&mut db.conn(), |conn| {
        db.execute(&format!("KILL CONNECTION {}", session_id(conn)));
        Err::<(), _>(diesel::result::Error::NotFound)
    });
    assert_eq!(run, Err(diesel::result::Error::NotFound));
}

/// Runs `disturb` on a session that waits for a lock; gives what the waiter got.
fn disturb_a_waiter(db: &Db, disturb: impl FnOnce(i64)) -> Result<(), LockError> {
    let name = LockName::named("job");
    let mut waiter = db.conn();
    let waiter_id = session_id(&mut waiter);
    std::thread::scope(|scope| {
        let holder = &mut db.conn();
        let held = name.lock().acquire(holder).unwrap();
        let waiting = scope.spawn(|| name.lock().acquire(&mut waiter).map(drop));
        db.until_waiting(waiter_id);
        disturb(waiter_id);
        let result = waiting.join().unwrap();
        held.release().unwrap();
        result
    })
}

fn a_killed_waiter_is_interrupted(db: &Db) {
    let result = disturb_a_waiter(db, |id| db.execute(&format!("KILL QUERY {id}")));
    assert!(
        matches!(result, Err(LockError::Interrupted { .. })),
        "{result:?}"
    );
}

fn a_waiter_whose_session_is_killed_gets_a_database_error(db: &Db) {
    let result = disturb_a_waiter(db, |id| db.execute(&format!("KILL CONNECTION {id}")));
    assert!(
        matches!(result, Err(LockError::Database { .. })),
        "{result:?}"
    );
}

fn crossing_sessions_deadlock_at_once(db: &Db) {
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut other = db.conn();
    let other_id = session_id(&mut other);
    std::thread::scope(|scope| {
        let conn = &mut db.conn();
        let mut held = a.lock().acquire(conn).unwrap();
        let crossing = scope.spawn(|| {
            let mut held = b.lock().acquire(&mut other).unwrap();
            let result = a.lock().acquire(&mut held).map(drop);
            held.release().unwrap();
            result
        });
        db.until_waiting(other_id);
        let start = Instant::now();
        let refused = b.lock().acquire(&mut held).map(drop);
        assert!(
            matches!(refused, Err(LockError::Deadlock { .. })),
            "{refused:?}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        held.release().expect("the victim keeps what it held");
        crossing.join().unwrap().unwrap();
        // And may ask again: libmariadb would wait for ever if this ran the refused statement anew.
        b.lock().acquire(conn).unwrap().release().unwrap();
    });
    db.assert_free(&a);
    db.assert_free(&b);
}

/// Codes decide, and messages do not: this server answers in French.
fn an_error_is_known_in_any_language(db: &Db) {
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut other = db.conn();
    let other_id = session_id(&mut other);
    std::thread::scope(|scope| {
        let conn = &mut db.conn();
        conn.batch_execute("SET lc_messages = 'fr_FR'").unwrap();
        let mut held = a.lock().acquire(conn).unwrap();
        let crossing = scope.spawn(|| {
            let mut held = b.lock().acquire(&mut other).unwrap();
            a.lock()
                .timeout(Duration::from_millis(2_500))
                .acquire(&mut held)
                .map(drop)
        });
        db.until_waiting(other_id);
        let refused = b
            .lock()
            .timeout(Duration::from_millis(2_500))
            .acquire(&mut held)
            .map(drop);
        let Err(LockError::Deadlock { source, .. }) = &refused else {
            panic!("{refused:?}");
        };
        // MySQL has a number for it, but no French.
        let is_english = source.to_string().contains("Deadlock found");
        assert_eq!(is_english, !db.is_mariadb(), "{source}");
        held.release().unwrap();
        crossing.join().unwrap().unwrap();
    });
}

fn an_interrupted_waiter_holds_nothing(db: &Db) {
    let name = LockName::named("job");
    let mut waiter = db.conn();
    let waiter_id = session_id(&mut waiter);
    for wait in [Duration::from_secs(45), Duration::from_millis(44_900)] {
        std::thread::scope(|scope| {
            let holder = &mut db.conn();
            let held = name.lock().acquire(holder).unwrap();
            let waiting = scope.spawn(|| name.lock().timeout(wait).acquire(&mut waiter).map(drop));
            db.until_waiting(waiter_id);
            db.execute(&format!("KILL QUERY {waiter_id}"));
            let result = waiting.join().unwrap();
            assert!(
                matches!(result, Err(LockError::Interrupted { .. })),
                "{result:?}"
            );
            held.release().unwrap();
        });
        until("the lock is free", || db.holder(&name).is_none());
        // Not broken: nothing was in doubt.
        waiter.transaction(|_| QueryResult::Ok(())).unwrap();
        name.lock().acquire(&mut waiter).unwrap().release().unwrap();
    }
}

/// A storm of `KILL QUERY` strikes the acquiring, re-reading and releasing statements themselves. The client
/// library would wait for ever if such a statement ran again.
fn a_statement_killed_at_any_moment_hangs_nobody(db: &Db) {
    const ROUNDS: usize = 20;
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let target = Arc::new(AtomicI64::new(0));
    let (struck, rounds) = mpsc::channel();
    let (url, of_worker) = (db.url(), Arc::clone(&target));
    // Not scoped: if it hangs, this case fails all the same.
    let worker = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let conn = &mut MysqlConnection::establish(&url).unwrap();
            of_worker.store(session_id(conn), Ordering::SeqCst);
            // On and on, whatever strikes: each later run meets what an earlier one left.
            let strikes: Vec<_> = (0..200)
                .filter_map(|_| counter.with_lock(conn, |_, _| Ok::<_, LockError>(())).err())
                .collect();
            struck.send(strikes).unwrap();
        }
    });
    let killer = &mut db.conn();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut strikes = Vec::new();
    while strikes.len() < ROUNDS {
        strikes.extend(rounds.try_iter());
        if worker.is_finished() && strikes.len() < ROUNDS {
            strikes.extend(rounds.try_iter());
            assert_eq!(strikes.len(), ROUNDS, "the worker has panicked");
        }
        assert!(
            Instant::now() < deadline,
            "hangs after {} rounds",
            strikes.len()
        );
        // Between two rounds the session may be gone.
        let _ = killer.batch_execute(&format!("KILL QUERY {}", target.load(Ordering::SeqCst)));
    }
    // MariaDB does not look whether it was killed in statements as short as these.
    let any = strikes.iter().any(|strikes| !strikes.is_empty());
    assert!(any || db.is_mariadb(), "no kill struck");
    until("the lock is free", || db.holder(&name).is_none());
}
