//! How many round trips a client waits for. `docs/benchmarks.md` explains the numbers.

use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;
use test_server::Proxy;

use crate::server::{is_mariadb, session_id};
use crate::suite::support::{Counter, Db, counters};

/// Asserts the round trips of one run of `work`, whose statements have been prepared.
#[track_caller]
fn assert_costs(proxy: &Proxy, what: &str, expected: u64, mut work: impl FnMut()) {
    work();
    let before = proxy.round_trips();
    (0..10).for_each(|_| work());
    let counted = (proxy.round_trips() - before) as f64 / 10.0;
    assert_eq!(counted, expected as f64, "round trips of {what}");
}

#[server_test]
fn lock_on_a_connection_takes_two_or_three_round_trips(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut MysqlConnection::establish(&url).unwrap();
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    let nothing = |_: &mut MysqlConnection| Ok::<_, LockError>(());
    assert_costs(&proxy, "run", 2, || {
        name.lock().run(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, "try_run", 2, || {
        name.lock()
            .try_run(conn, |_, conn| nothing(conn))
            .unwrap()
            .unwrap();
    });
    assert_costs(&proxy, "with_lock", 3, || {
        counter.with_lock(conn, |_, conn| nothing(conn)).unwrap();
    });
    // A re-entrant lock does not reload its model.
    assert_costs(&proxy, "with_lock in with_lock", 5, || {
        counter
            .with_lock(conn, |counter, conn| {
                counter.with_lock(conn, |_, conn| nothing(conn))
            })
            .unwrap();
    });
    let other = &mut db.conn();
    let held = name.lock().acquire(other).unwrap();
    assert_costs(&proxy, "try_run, held elsewhere", 1, || {
        assert_eq!(
            name.lock().try_run(conn, |_, conn| nothing(conn)).unwrap(),
            None
        );
    });
    // An error names the holder, which takes two statements, each prepared every time.
    assert_costs(&proxy, "run of a contended lock, without a wait", 5, || {
        name.lock()
            .no_wait()
            .run(conn, |_, conn| nothing(conn))
            .unwrap_err();
    });
    assert_costs(&proxy, "status", 3, || {
        name.status(conn).unwrap();
    });
    held.release().unwrap();
    let a_second = Duration::from_secs(1);
    assert_costs(&proxy, "keep_alive within the idle timeout", 4, || {
        name.lock()
            .keep_alive(a_second)
            .run(conn, |_, conn| nothing(conn))
            .unwrap();
    });
    let a_year = 365 * 24 * 3_600 * a_second;
    assert_costs(&proxy, "keep_alive above the idle timeout", 8, || {
        name.lock()
            .keep_alive(a_year)
            .run(conn, |_, conn| nothing(conn))
            .unwrap();
    });
    let session = session_id(conn);
    // A wait takes another statement. On MariaDB it contains the lock's name, for inspection, and so
    // it is prepared every time.
    let waiting = if is_mariadb(db) { 4 } else { 3 };
    assert_costs(
        &proxy,
        "run of a contended lock, with a wait",
        waiting,
        || {
            let held = name.lock().acquire(other).unwrap();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| name.lock().run(conn, |_, conn| nothing(conn)));
                db.wait_until_blocked(session);
                held.release().unwrap();
                waiter.join().unwrap().unwrap();
            });
        },
    );
}

/// Diesel wraps each BEGIN and each COMMIT in two requests, which allow several statements and
/// forbid them again. The library prepares both.
#[server_test]
fn transaction_takes_six_round_trips_as_an_empty_one_of_diesel_does(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut MysqlConnection::establish(&url).unwrap();
    let mut counter = db.counter(1);
    assert_costs(&proxy, "Diesel's empty transaction", 6, || {
        conn.transaction(|_| QueryResult::Ok(())).unwrap();
    });
    assert_costs(&proxy, "FOR UPDATE in a transaction", 7, || {
        conn.transaction(|conn| {
            let row = counters::table.find(1).select(Counter::as_select());
            row.for_update().first(conn).map(drop)
        })
        .unwrap();
    });
    assert_costs(&proxy, ".transaction", 6, || {
        let request = counter.lock();
        request
            .transaction(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
}

#[server_test]
fn lock_through_a_pool_takes_two_or_three_round_trips(db: &Db) {
    let (locks, proxy) = &db.locks_through_proxy(1);
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    let nothing = |_: &mut MysqlConnection| Ok::<_, LockError>(());
    assert_costs(proxy, "LockPool::run of a name", 2, || {
        locks.run(name.lock(), |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(proxy, "LockPool::run of a model", 3, || {
        locks.run(counter.lock(), |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(proxy, "LockPool::transaction", 6, || {
        let request = counter.lock();
        locks.transaction(request, |_, conn| nothing(conn)).unwrap();
    });
}

#[server_test]
fn set_takes_two_round_trips_per_lock(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut MysqlConnection::establish(&url).unwrap();
    let names = || [1, 2, 3].map(|id| LockName::row(counters::table, id));
    assert_costs(&proxy, "lock_all of three names", 6, || {
        lock_all(names())
            .run(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
    // Two for BEGIN and COMMIT, and one to verify, whatever the number of locks.
    assert_costs(&proxy, "a transaction under three names", 9, || {
        lock_all(names())
            .transaction(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
}
