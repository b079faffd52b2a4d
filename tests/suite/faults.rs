//! A lost lock is reported, and so is what ended a wait: a killed statement or session, or a
//! deadlock.

#[blocking]
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
#[blocking]
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::LockSource;
use diesel_advisory_lock::prelude::*;
use server_test::{blocking, both, server_test};

#[blocking]
use super::release_failures::StopOnDrop;
#[blocking]
use super::support::Counter;
use super::support::Db;
use crate::api::{Connection, thread};
use crate::server::{self, Conn, session_id};

#[server_test]
async fn killing_the_holder_returns_lost(db: &Db) {
    let mut counter = db.counter(1).await;
    let mut next = counter.clone();
    let run: Result<(), LockError> = counter
        .with_lock(&mut db.conn().await, async |_, conn| {
            db.kill_session(session_id(conn).await).await;
            Ok(())
        })
        .await;
    let Err(LockError::Lost {
        source: Some(_), ..
    }) = &run
    else {
        panic!("{run:?}");
    };
    assert!(run.unwrap_err().to_string().contains("counters:1"));
    next.with_lock(&mut db.conn().await, async |_, _| Ok::<_, LockError>(()))
        .await
        .unwrap();
}

#[server_test]
async fn killing_the_holder_in_a_transaction_writes_nothing(db: &Db) {
    let mut counter = db.counter(1).await;
    let mut next = counter.clone();
    let conn = &mut db.conn().await;
    let run: Result<(), LockError> = counter
        .lock()
        .transaction(conn, async |counter, conn| {
            counter.value = 9;
            counter.save(conn).await.unwrap();
            db.kill_session(session_id(conn).await).await;
            Ok(())
        })
        .await;
    assert!(
        matches!(
            run,
            Err(LockError::Lost { .. }
                | LockError::Database { .. }
                | LockError::CommitUnknown { .. })
        ),
        "{run:?}"
    );
    let seen = next
        .with_lock(&mut db.conn().await, async |next, _| {
            Ok::<_, LockError>(next.value)
        })
        .await;
    assert_eq!(seen.unwrap(), 0);
    let again = counter
        .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
        .await;
    assert!(again.is_err(), "a dead connection locks nothing");
}

/// The server ends a session that is idle for too long, and its locks with it.
#[server_test]
async fn holder_idle_past_the_timeout_returns_lost(db: &Db) {
    let name = LockName::named("job");
    let run: Result<(), LockError> = name
        .lock()
        .run(&mut db.conn().await, async |_, conn| {
            server::set_idle_timeout(conn, Duration::from_secs(1)).await;
            db.wait_until_free(&name).await;
            Ok(())
        })
        .await;
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
async fn lock_released_by_raw_sql_returns_lost(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn().await;
    let mut held = name.lock().acquire(conn).await.unwrap();
    db.release_raw(&mut held, &name).await;
    let released = held.release().await;
    assert!(
        matches!(released, Err(LockError::Lost { source: None, .. })),
        "{released:?}"
    );

    // Another session has acquired the lock since.
    let (conn, other) = (&mut db.conn().await, &mut db.conn().await);
    let mut held = name.lock().acquire(conn).await.unwrap();
    db.release_raw(&mut held, &name).await;
    let others = name.lock().acquire(other).await.unwrap();
    let released = held.release().await;
    assert!(
        matches!(released, Err(LockError::Lost { source: None, .. })),
        "{released:?}"
    );
    others.release().await.unwrap();
}

#[server_test]
async fn loss_does_not_mask_the_closures_error(db: &Db) {
    let run = LockName::named("job")
        .lock()
        .run(&mut db.conn().await, async |_, conn| {
            db.kill_session(session_id(conn).await).await;
            Err::<(), _>(diesel::result::Error::NotFound)
        })
        .await;
    assert_eq!(run, Err(diesel::result::Error::NotFound));
}

/// Runs `disturb` on a session that waits for a lock, and returns the result of the wait.
#[both]
async fn disturb_a_waiter(db: &Db, disturb: impl AsyncFnOnce(i64)) -> Result<(), LockError> {
    let name = LockName::named("job");
    let mut waiter = db.conn().await;
    let waiter_id = session_id(&mut waiter).await;
    thread::scope(async |scope| {
        let holder = &mut db.conn().await;
        let held = name.lock().acquire(holder).await.unwrap();
        let waiting = scope.spawn(async || name.lock().acquire(&mut waiter).await.map(drop));
        db.wait_until_blocked(waiter_id).await;
        disturb(waiter_id).await;
        let result = waiting.join().await.unwrap();
        held.release().await.unwrap();
        result
    })
    .await
}

#[server_test]
async fn killing_the_waiting_statement_returns_interrupted(db: &Db) {
    let result = disturb_a_waiter(db, async |id| db.kill_statement(id).await).await;
    assert!(
        matches!(result, Err(LockError::Interrupted { .. })),
        "{result:?}"
    );
}

#[server_test]
async fn killing_the_waiting_session_returns_database_error(db: &Db) {
    let result = disturb_a_waiter(db, async |id| db.kill_session(id).await).await;
    assert!(
        matches!(result, Err(LockError::Database { .. })),
        "{result:?}"
    );
}

#[both]
async fn acquire_and_release(
    name: &LockName,
    conn: &mut impl LockSource<Connection = Conn>,
) -> Result<(), LockError> {
    name.lock().acquire(conn).await?.release().await
}

#[server_test]
async fn crossing_waits_return_deadlock_at_once(db: &Db) {
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut other = db.conn().await;
    let other_id = session_id(&mut other).await;
    thread::scope(async |scope| {
        let conn = &mut db.conn().await;
        let mut held = a.lock().acquire(conn).await.unwrap();
        let crossing = scope.spawn(async || {
            let mut held = b.lock().acquire(&mut other).await.unwrap();
            let result = acquire_and_release(&a, &mut held).await;
            held.release().await.expect("the victim keeps what it held");
            result
        });
        db.wait_until_blocked(other_id).await;
        let start = Instant::now();
        let closing = acquire_and_release(&b, &mut held).await;
        assert!(
            start.elapsed() < server::DEADLOCK_LIMIT,
            "{:?}",
            start.elapsed()
        );
        held.release().await.expect("the victim keeps what it held");
        let crossing = crossing.join().await.unwrap();
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
        b.lock()
            .acquire(conn)
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
    })
    .await;
    db.assert_free(&a).await;
    db.assert_free(&b).await;
}

#[server_test]
async fn interrupted_waiter_holds_no_lock(db: &Db) {
    let name = LockName::named("job");
    let mut waiter = db.conn().await;
    let waiter_id = session_id(&mut waiter).await;
    for wait in [Duration::from_secs(45), Duration::from_millis(44_900)] {
        thread::scope(async |scope| {
            let holder = &mut db.conn().await;
            let held = name.lock().acquire(holder).await.unwrap();
            let waiting = scope.spawn(async || {
                name.lock()
                    .timeout(wait)
                    .acquire(&mut waiter)
                    .await
                    .map(drop)
            });
            db.wait_until_blocked(waiter_id).await;
            db.kill_statement(waiter_id).await;
            let result = waiting.join().await.unwrap();
            assert!(
                matches!(result, Err(LockError::Interrupted { .. })),
                "{result:?}"
            );
            held.release().await.unwrap();
        })
        .await;
        db.wait_until_free(&name).await;
        // The connection is not marked as broken, because nothing is in doubt.
        waiter
            .transaction(async |_| QueryResult::Ok(()))
            .await
            .unwrap();
        name.lock()
            .acquire(&mut waiter)
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
    }
}

/// The killed statements are those that acquire, reload and release.
#[server_test(blocking)]
fn statement_killed_at_any_moment_does_not_hang(db: &Db) {
    assert_does_not_hang_if_killed(db, db.counter(1), 20);
}

/// The killed statements are those that wait, too.
#[server_test(blocking)]
fn waiting_statement_killed_at_any_moment_does_not_hang(db: &Db) {
    let counter = db.counter(1);
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut contended = counter.clone();
        scope.spawn(move || {
            let conn = &mut db.conn();
            while !done.load(Ordering::SeqCst) {
                let run = contended.with_lock(conn, |_, _| Ok::<_, LockError>(()));
                run.unwrap();
            }
        });
        let _stops = StopOnDrop(done);
        assert_does_not_hang_if_killed(db, counter, 5);
    });
}

/// The client library may hang if a statement that was killed runs again.
#[blocking]
fn assert_does_not_hang_if_killed(db: &Db, mut counter: Counter, rounds: usize) {
    let name = counter.lock_name();
    let target = Arc::new(AtomicI64::new(0));
    let (done, results) = mpsc::channel();
    let (url, of_worker) = (db.url(), Arc::clone(&target));
    // Not scoped, so that the case fails if the thread hangs.
    let worker = std::thread::spawn(move || {
        for _ in 0..rounds {
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
    while errors.len() < rounds {
        errors.extend(results.try_iter());
        if worker.is_finished() && errors.len() < rounds {
            errors.extend(results.try_iter());
            assert_eq!(errors.len(), rounds, "the worker has panicked");
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
