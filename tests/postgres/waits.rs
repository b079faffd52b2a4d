//! Waits that end when the lock is granted, or just before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::{Instrumentation, InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::ServerKind;
use crate::suite::support::{Counter, Db};

/// A timeout may come just after the lock was granted: no lock is left, whichever comes first.
#[server_test(serial)]
fn timeout_that_races_with_the_grant_leaves_no_lock(db: &Db) {
    db.counter(1);
    let name = &LockName::named("job");
    let (granted, timed_out) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    for round in 0..500_u64 {
        let held = name.lock().acquire(holder).unwrap();
        let wait = Duration::from_millis(3);
        thread::scope(|scope| {
            let start = Instant::now();
            let releasing = scope.spawn(move || {
                // Around the end of the wait, which begins a moment later.
                let at = wait + Duration::from_micros(100 + 20 * (round % 60));
                while start.elapsed() < at {
                    std::hint::spin_loop();
                }
                held.release()
            });
            match name.lock().timeout(wait).acquire(waiter) {
                Ok(held) => {
                    granted.fetch_add(1, Ordering::Relaxed);
                    held.release().unwrap();
                }
                Err(LockError::Timeout { .. }) => _ = timed_out.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{error:?}"),
            }
            releasing.join().unwrap().unwrap();
        });
        db.assert_free(name);
    }
    let (granted, timed_out) = (
        granted.load(Ordering::Relaxed),
        timed_out.load(Ordering::Relaxed),
    );
    assert!(
        granted > 0 && timed_out > 0,
        "{granted} granted, {timed_out} timed out"
    );
    // No session was ended.
    waiter.batch_execute("SELECT 1").unwrap();
}

type Attempt<'a> = &'a dyn Fn(&mut PgConnection) -> Result<(), LockError>;

/// The limits of the session do not cut a wait, whatever form it has.
#[server_test(serial)]
fn limits_of_the_session_do_not_end_a_wait(db: &Db) {
    let name = db.counter(1).lock_name();
    let mut limits = vec!["SET statement_timeout = 50", "SET lock_timeout = 50"];
    if db.kind() == ServerKind::Postgres18 {
        limits.push("SET transaction_timeout = 50");
    }
    let holder = &mut db.conn();
    let _held = name.lock().acquire(holder).unwrap();
    let asked = Duration::from_millis(300);
    for limit in limits {
        let conn = &mut db.conn();
        conn.batch_execute(limit).unwrap();
        let attempts: [Attempt<'_>; 3] = [
            &|conn| name.lock().timeout(asked).run(conn, |_, _| Ok(())),
            &|conn| name.lock().timeout(asked).transaction(conn, |_, _| Ok(())),
            &|conn| {
                lock_all((&mut Counter { id: 1, value: 0 }, LockName::named("a")))
                    .timeout(asked)
                    .transaction(conn, |_, _| Ok(()))
            },
        ];
        for (nth, attempt) in attempts.iter().enumerate() {
            let start = Instant::now();
            let error = attempt(conn).unwrap_err();
            let elapsed = start.elapsed();
            assert!(
                matches!(error, LockError::Timeout { .. }),
                "{limit}, {nth}: {error:?}"
            );
            assert!(
                elapsed >= asked && elapsed < asked + Duration::from_millis(100),
                "{limit}, {nth}: {elapsed:?}"
            );
            assert_eq!(error.name(), &name, "{nth}");
            assert!(error.holder().is_some(), "{nth}");
        }
        db.assert_free(&LockName::named("a"));
    }
}

#[server_test]
fn canceled_wait_of_a_transaction_is_interrupted(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let mut waiter = db.conn();
    let session = crate::server::session_id(&mut waiter);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            name.lock()
                .transaction(&mut waiter, |_, _| Ok::<_, LockError>(()))
        });
        db.wait_until_blocked(session);
        db.kill_statement(session);
        let result = waiting.join().unwrap();
        assert!(
            matches!(result, Err(LockError::Interrupted { .. })),
            "{result:?}"
        );
    });
    held.release().unwrap();
    // The connection is usable, and outside of a transaction.
    waiter.transaction(|_| QueryResult::Ok(())).unwrap();
    db.assert_free(&name);
}

/// A canceled ROLLBACK is repeated. Otherwise the transaction that the message has begun would be
/// taken for one of the caller's.
#[server_test]
fn canceled_rollback_of_a_wait_is_repeated(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let mut conn = db.conn();
    let session = crate::server::session_id(&mut conn);
    let canceled = Arc::<AtomicUsize>::default();
    conn.set_instrumentation(CancelsRollback {
        url: db.url(),
        session,
        goes_on: Arc::default(),
        threads: Vec::new(),
        canceled: canceled.clone(),
    });
    let wait = Duration::from_millis(20);
    for _ in 0..500 {
        let run = name
            .lock()
            .timeout(wait)
            .transaction(&mut conn, |_, _| Ok::<_, LockError>(()));
        assert!(matches!(run, Err(LockError::Timeout { .. })), "{run:?}");
        if canceled.load(Ordering::Relaxed) > 0 {
            break;
        }
    }
    assert!(canceled.load(Ordering::Relaxed) > 0, "nothing was canceled");
    conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    held.release().unwrap();
    let run = name
        .lock()
        .transaction(&mut conn, |_, _| Ok::<_, LockError>(()));
    run.unwrap();
    assert_eq!(crate::server::session_id(&mut conn), session);
    db.assert_free(&name);
}

/// Cancels a session's statements, without a pause, from the start of a ROLLBACK until it ends.
struct CancelsRollback {
    url: String,
    session: i64,
    goes_on: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
    canceled: Arc<AtomicUsize>,
}

impl Instrumentation for CancelsRollback {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        const UNDO: &str = "ROLLBACK TO SAVEPOINT";
        match event {
            InstrumentationEvent::StartQuery { query, .. }
                if self.canceled.load(Ordering::Relaxed) == 0
                    && query.to_string().contains(UNDO) =>
            {
                let cancel = format!(
                    "SELECT pg_cancel_backend({}) FROM generate_series(1, 10000)",
                    self.session
                );
                self.goes_on.store(true, Ordering::Relaxed);
                for _ in 0..4 {
                    let mut conn = PgConnection::establish(&self.url).unwrap();
                    let (cancel, goes_on) = (cancel.clone(), self.goes_on.clone());
                    self.threads.push(thread::spawn(move || {
                        while goes_on.load(Ordering::Relaxed) {
                            conn.batch_execute(&cancel).unwrap();
                        }
                    }));
                }
            }
            InstrumentationEvent::FinishQuery { error, .. } if !self.threads.is_empty() => {
                self.goes_on.store(false, Ordering::Relaxed);
                for thread in self.threads.drain(..) {
                    thread.join().unwrap();
                }
                self.canceled
                    .fetch_add(usize::from(error.is_some()), Ordering::Relaxed);
            }
            _ => {}
        }
    }
}
