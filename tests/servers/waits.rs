//! Guarantee 6: exact waits.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::prelude::*;

use crate::support::{Clients, Counter, Db, session_id, times_out};

cases![alone:
    a_statement_limit_of_the_session_does_not_cut_a_wait,
    a_timeout_without_an_error_number_is_a_timeout,
    a_wait_through_a_lock_pool_is_not_cut_by_the_sessions_limits,
    a_wait_of_a_set_is_not_cut_by_the_sessions_limits,
    a_time_out_comes_on_time_and_says_so,
    a_time_out_of_a_model_does_too,
    a_try_form_does_not_wait_unless_told,
    a_free_lock_takes_no_time,
    a_waiter_gets_the_lock_when_it_is_released,
    distinct_fractions_do_not_fill_the_statement_cache,
];

const TOLERANCE: Duration = Duration::from_millis(100);

fn assert_about(waited: Duration, asked: Duration, what: &str) {
    assert!(
        waited >= asked && waited < asked + TOLERANCE,
        "{what}: asked for {asked:?}, waited {waited:?}"
    );
}

fn a_time_out_comes_on_time_and_says_so(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let _held = name.lock().acquire(holder).unwrap();
    for asked in [0, 50, 300, 1_000, 1_500].map(Duration::from_millis) {
        let start = Instant::now();
        let result = name.lock().timeout(asked).acquire(waiter);
        let elapsed = start.elapsed();
        let Err(LockError::Timeout { waited, .. }) = result else {
            panic!("{result:?}");
        };
        assert_about(elapsed, asked, "clock");
        assert_about(waited, asked, "error");
    }
    let start = Instant::now();
    let result = name.lock().no_wait().acquire(waiter);
    assert!(
        matches!(result, Err(LockError::Timeout { .. })),
        "{result:?}"
    );
    assert_about(start.elapsed(), Duration::ZERO, "no_wait");
}

fn a_time_out_of_a_model_does_too(db: &Db) {
    let mut counter = db.counter(1);
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let _held = counter.lock_name().lock().acquire(holder).unwrap();
    let asked = Duration::from_millis(250);
    let result = counter
        .lock()
        .timeout(asked)
        .run(waiter, |_, _| Ok::<_, LockError>(()));
    let Err(error @ LockError::Timeout { waited, .. }) = &result else {
        panic!("{result:?}");
    };
    assert_about(*waited, asked, "error");
    assert!(error.to_string().contains("counters:1"), "{error}");
}

fn a_try_form_does_not_wait_unless_told(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let (holder, conn) = (&mut db.conn(), &mut db.conn());
    let held = name.lock().acquire(holder).unwrap();

    let start = Instant::now();
    assert_eq!(
        counter
            .try_with_lock(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap(),
        None
    );
    assert_eq!(
        counter
            .lock()
            .try_run(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap(),
        None
    );
    assert_eq!(
        counter
            .lock()
            .try_transaction(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap(),
        None
    );
    assert!(counter.lock().try_acquire(conn).unwrap().is_none());
    assert!(name.lock().try_acquire(conn).unwrap().is_none());
    assert_eq!(
        name.lock()
            .try_hold(conn, |_| Ok::<_, LockError>(()))
            .unwrap(),
        None
    );
    assert_about(start.elapsed(), Duration::ZERO, "try_");

    let start = Instant::now();
    let asked = Duration::from_millis(300);
    assert!(
        name.lock()
            .timeout(asked)
            .try_acquire(conn)
            .unwrap()
            .is_none()
    );
    assert_about(start.elapsed(), asked, "try_ with a time-out");

    held.release().unwrap();
    assert_eq!(
        counter
            .try_with_lock(conn, |_, _| Ok::<_, LockError>(7))
            .unwrap(),
        Some(7)
    );
    assert_eq!(
        name.lock()
            .try_hold(conn, |_| Ok::<_, LockError>(7))
            .unwrap(),
        Some(7)
    );
}

fn a_free_lock_takes_no_time(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    for request in [
        name.lock(),
        name.lock().wait_forever(),
        name.lock().no_wait(),
        name.lock().timeout(Duration::from_millis(1_500)),
        name.lock().timeout(Duration::MAX),
        name.lock().timeout(Duration::from_nanos(1)),
    ] {
        let start = Instant::now();
        request.acquire(conn).unwrap().release().unwrap();
        assert_about(start.elapsed(), Duration::ZERO, "free");
    }
}

fn a_waiter_gets_the_lock_when_it_is_released(db: &Db) {
    let name = LockName::named("job");
    for request in [
        name.lock(),
        name.lock().wait_forever(),
        name.lock().timeout(Duration::MAX),
        name.lock().timeout(Duration::from_millis(20_500)),
    ] {
        let mut waiter = db.conn();
        let waiter_id = session_id(&mut waiter);
        std::thread::scope(|scope| {
            let holder = &mut db.conn();
            let held = name.lock().acquire(holder).unwrap();
            let waiting = scope.spawn(|| {
                let held = request.acquire(&mut waiter)?;
                let since = Instant::now();
                held.release().map(|()| since)
            });
            db.until_waiting(waiter_id);
            let released = Instant::now();
            held.release().unwrap();
            let granted = waiting.join().unwrap().unwrap();
            assert_about(granted - released, Duration::ZERO, "hand-over");
        });
    }
}

/// Each of these statements is another text, since the hint takes no bind parameter.
fn distinct_fractions_do_not_fill_the_statement_cache(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let _held = name.lock().acquire(holder).unwrap();
    let open = |conn: &mut _| {
        let prepared = crate::statements::session_status(conn, "Com_stmt_prepare");
        prepared - crate::statements::session_status(conn, "Com_stmt_close")
    };
    // The first run prepares what is cached for good. It has to come to its wait, however slow the machine is.
    assert!(
        name.lock()
            .timeout(Duration::from_millis(300))
            .try_acquire(waiter)
            .unwrap()
            .is_none()
    );
    let before = open(waiter);
    for ms in 2..22 {
        let held = name
            .lock()
            .timeout(Duration::from_millis(ms))
            .try_acquire(waiter)
            .unwrap();
        assert!(held.is_none());
    }
    assert_eq!(open(waiter), before);
}

fn statement_limit(db: &Db) -> &'static str {
    if db.is_mariadb() {
        "SET max_statement_time = 0.1"
    } else {
        "SET max_execution_time = 100"
    }
}

/// Neither a finite wait nor one without end.
fn a_statement_limit_of_the_session_does_not_cut_a_wait(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    waiter.batch_execute(statement_limit(db)).unwrap();
    let timeout = Duration::from_millis(600);
    times_out(db, &name, timeout, || {
        name.lock().timeout(timeout).acquire(waiter).map(drop)
    });
    let held = name.lock().acquire(holder).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| name.lock().wait_forever().acquire(waiter).map(drop));
        std::thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished());
        held.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
}

/// `max_error_count = 0` keeps no diagnostics.
fn a_timeout_without_an_error_number_is_a_timeout(db: &Db) {
    let name = LockName::named("job");
    let waiter = &mut db.conn();
    waiter.batch_execute("SET max_error_count = 0").unwrap();
    let timeout = Duration::from_millis(300);
    times_out(db, &name, timeout, || {
        name.lock().timeout(timeout).acquire(waiter).map(drop)
    });
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let tried = name
        .lock()
        .timeout(timeout)
        .try_acquire(waiter)
        .unwrap()
        .is_some();
    assert!(!tried);
    held.release().unwrap();
    name.lock().acquire(waiter).unwrap().release().unwrap();
}

/// With each setting that once cut a wait, or made an error of its end.
fn under_each_limit(db: &Db, wait: impl Fn(&mut Clients, Duration) -> Result<(), LockError>) {
    let name = Counter { id: 1, value: 0 }.lock_name();
    db.counter(1);
    let holder = &mut db.conn();
    let timeout = Duration::from_millis(500);
    for limit in [statement_limit(db), "SET max_error_count = 0"] {
        let limited = |conn: &mut MysqlConnection| conn.batch_execute(limit).unwrap();
        let clients = &mut Clients::prepared(&db.url(), limited);
        let held = name.lock().acquire(holder).unwrap();
        let start = Instant::now();
        let error = wait(clients, timeout).unwrap_err();
        assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
        assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());
        held.release().unwrap();
        wait(clients, timeout).unwrap();
        db.assert_idle(&clients.locks);
    }
}

fn a_wait_through_a_lock_pool_is_not_cut_by_the_sessions_limits(db: &Db) {
    under_each_limit(db, |clients, timeout| {
        let mut counter = Counter { id: 1, value: 0 };
        let request = counter.lock().timeout(timeout);
        request.run_from(&clients.locks, |_, _| Ok(()))
    });
}

fn a_wait_of_a_set_is_not_cut_by_the_sessions_limits(db: &Db) {
    let set = |timeout| {
        let names = [
            Counter { id: 1, value: 0 }.lock_name(),
            LockName::named("a"),
        ];
        LockAll::of(names).timeout(timeout)
    };
    under_each_limit(db, |clients, timeout| {
        set(timeout).run(&mut clients.conn, |_, _| Ok(()))
    });
    db.execute("DELETE FROM counters");
    under_each_limit(db, |clients, timeout| {
        set(timeout).run_from(&clients.locks, |_, _| Ok(()))
    });
}
