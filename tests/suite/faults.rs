//! A lost lock is reported, and so is what ended a wait: a killed statement or session, or a
//! deadlock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Db, wait_until};
use crate::server::{self, Conn, session_id};

#[server_test]
fn killing_the_holder_returns_lost(db: &Db) {
    let mut counter = db.counter(1);
    let mut next = counter.clone();
    let run: Result<(), LockError> = counter.with_lock(&mut db.conn(), |_, conn| {
        db.kill_session(session_id(conn));
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

#[server_test]
fn killing_the_holder_in_a_transaction_writes_nothing(db: &Db) {
    let mut counter = db.counter(1);
    let mut next = counter.clone();
    let conn = &mut db.conn();
    let run: Result<(), LockError> = counter.lock().transaction(conn, |counter, conn| {
        counter.value = 9;
        counter.save(conn).unwrap();
        db.kill_session(session_id(conn));
        Ok(())
    });
    assert!(
        matches!(
            run,
            Err(LockError::Lost { .. }
                | LockError::Database { .. }
                | LockError::CommitUnknown { .. })
        ),
        "{run:?}"
    );
    let seen = next.with_lock(&mut db.conn(), |next, _| Ok::<_, LockError>(next.value));
    assert_eq!(seen.unwrap(), 0);
    let again = counter.with_lock(conn, |_, _| Ok::<_, LockError>(()));
    assert!(again.is_err(), "a dead connection locks nothing");
}

/// The server ends a session that is idle for too long, and its locks with it.
#[server_test]
fn holder_idle_past_the_timeout_returns_lost(db: &Db) {
    let name = LockName::named("job");
    let run: Result<(), LockError> = name.lock().run(&mut db.conn(), |_, conn| {
        server::set_idle_timeout(conn, Duration::from_secs(1));
        wait_until("the server has ended the session", || {
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

#[server_test]
fn lock_released_by_raw_sql_returns_lost(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let mut held = name.lock().acquire(conn).unwrap();
    db.release_raw(&mut held, &name);
    let released = held.release();
    assert!(
        matches!(released, Err(LockError::Lost { source: None, .. })),
        "{released:?}"
    );

    // Another session has acquired the lock since.
    let (conn, other) = (&mut db.conn(), &mut db.conn());
    let mut held = name.lock().acquire(conn).unwrap();
    db.release_raw(&mut held, &name);
    let others = name.lock().acquire(other).unwrap();
    let released = held.release();
    assert!(
        matches!(released, Err(LockError::Lost { source: None, .. })),
        "{released:?}"
    );
    others.release().unwrap();
}

#[server_test]
fn loss_does_not_mask_the_closures_error(db: &Db) {
    let run = LockName::named("job")
        .lock()
        .run(&mut db.conn(), |_, conn| {
            db.kill_session(session_id(conn));
            Err::<(), _>(diesel::result::Error::NotFound)
        });
    assert_eq!(run, Err(diesel::result::Error::NotFound));
}

/// Runs `disturb` on a session that waits for a lock, and returns the result of the wait.
fn disturb_a_waiter(db: &Db, disturb: impl FnOnce(i64)) -> Result<(), LockError> {
    let name = LockName::named("job");
    let mut waiter = db.conn();
    let waiter_id = session_id(&mut waiter);
    std::thread::scope(|scope| {
        let holder = &mut db.conn();
        let held = name.lock().acquire(holder).unwrap();
        let waiting = scope.spawn(|| name.lock().acquire(&mut waiter).map(drop));
        db.wait_until_blocked(waiter_id);
        disturb(waiter_id);
        let result = waiting.join().unwrap();
        held.release().unwrap();
        result
    })
}

#[server_test]
fn killing_the_waiting_statement_returns_interrupted(db: &Db) {
    let result = disturb_a_waiter(db, |id| db.kill_statement(id));
    assert!(
        matches!(result, Err(LockError::Interrupted { .. })),
        "{result:?}"
    );
}

#[server_test]
fn killing_the_waiting_session_returns_database_error(db: &Db) {
    let result = disturb_a_waiter(db, |id| db.kill_session(id));
    assert!(
        matches!(result, Err(LockError::Database { .. })),
        "{result:?}"
    );
}

#[server_test]
fn crossing_waits_return_deadlock_at_once(db: &Db) {
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut other = db.conn();
    let other_id = session_id(&mut other);
    std::thread::scope(|scope| {
        let conn = &mut db.conn();
        let mut held = a.lock().acquire(conn).unwrap();
        let crossing = scope.spawn(|| {
            let mut held = b.lock().acquire(&mut other).unwrap();
            let result = a.lock().acquire(&mut held).map(drop);
            held.release().expect("the victim keeps what it held");
            result
        });
        db.wait_until_blocked(other_id);
        let start = Instant::now();
        let closing = b.lock().acquire(&mut held).map(drop);
        assert!(
            start.elapsed() < server::DEADLOCK_LIMIT,
            "{:?}",
            start.elapsed()
        );
        held.release().expect("the victim keeps what it held");
        let crossing = crossing.join().unwrap();
        // Servers choose different victims.
        let (refused, granted) = match closing {
            Err(_) => (closing, crossing),
            Ok(()) => (crossing, closing),
        };
        assert!(
            matches!(refused, Err(LockError::Deadlock { .. })),
            "{refused:?}"
        );
        granted.unwrap();
        // The victim can acquire the lock now. The refused statement must not run again, because a
        // client library may hang on it.
        b.lock().acquire(conn).unwrap().release().unwrap();
    });
    db.assert_free(&a);
    db.assert_free(&b);
}

#[server_test]
fn interrupted_waiter_holds_no_lock(db: &Db) {
    let name = LockName::named("job");
    let mut waiter = db.conn();
    let waiter_id = session_id(&mut waiter);
    for wait in [Duration::from_secs(45), Duration::from_millis(44_900)] {
        std::thread::scope(|scope| {
            let holder = &mut db.conn();
            let held = name.lock().acquire(holder).unwrap();
            let waiting = scope.spawn(|| name.lock().timeout(wait).acquire(&mut waiter).map(drop));
            db.wait_until_blocked(waiter_id);
            db.kill_statement(waiter_id);
            let result = waiting.join().unwrap();
            assert!(
                matches!(result, Err(LockError::Interrupted { .. })),
                "{result:?}"
            );
            held.release().unwrap();
        });
        db.wait_until_free(&name);
        // The connection is not marked as broken, because nothing is in doubt.
        waiter.transaction(|_| QueryResult::Ok(())).unwrap();
        name.lock().acquire(&mut waiter).unwrap().release().unwrap();
    }
}

/// The killed statements are those that acquire, reload and release. The client library may hang if
/// such a statement runs again.
#[server_test]
fn statement_killed_at_any_moment_does_not_hang(db: &Db) {
    const ROUNDS: usize = 20;
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let target = Arc::new(AtomicI64::new(0));
    let (done, rounds) = mpsc::channel();
    let (url, of_worker) = (db.url(), Arc::clone(&target));
    // Not scoped, so that the case fails if the thread hangs.
    let worker = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let conn = &mut Conn::establish(&url).unwrap();
            of_worker.store(session_id(conn), Ordering::SeqCst);
            // The calls go on after an error, so that they meet what it has left behind.
            let errors: Vec<_> = (0..200)
                .filter_map(|_| counter.with_lock(conn, |_, _| Ok::<_, LockError>(())).err())
                .collect();
            done.send(errors).unwrap();
        }
    });
    let killer = &mut db.conn();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut errors = Vec::new();
    while errors.len() < ROUNDS {
        errors.extend(rounds.try_iter());
        if worker.is_finished() && errors.len() < ROUNDS {
            errors.extend(rounds.try_iter());
            assert_eq!(errors.len(), ROUNDS, "the worker has panicked");
        }
        assert!(
            Instant::now() < deadline,
            "hangs after {} rounds",
            errors.len()
        );
        // Between two rounds the session may be gone.
        let _ = server::kill_statement(killer, target.load(Ordering::SeqCst));
    }
    let any = errors.iter().any(|errors| !errors.is_empty());
    assert!(
        any || !server::kills_short_statements(db.kind()),
        "no statement was interrupted"
    );
    db.wait_until_free(&name);
}
