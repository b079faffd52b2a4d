//! What a client waits for, counted on the way: `docs/benchmarks.md` explains the numbers.

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use test_server::Proxy;

use crate::support::{Counter, Db, counters};

cases![
    of_a_lock_on_a_connection,
    of_a_transaction_and_what_diesel_takes_for_its_own,
    of_a_lock_through_a_pool,
    of_several_locks_at_once,
];

/// Of one run of `work`, once statements are prepared.
#[track_caller]
fn assert_costs(proxy: &Proxy, what: &str, expected: u64, mut work: impl FnMut()) {
    work();
    let before = proxy.round_trips();
    (0..10).for_each(|_| work());
    let counted = (proxy.round_trips() - before) as f64 / 10.0;
    assert_eq!(counted, expected as f64, "round trips of {what}");
}

fn of_a_lock_on_a_connection(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut MysqlConnection::establish(&url).unwrap();
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    let nothing = |_: &mut MysqlConnection| Ok::<_, LockError>(());
    assert_costs(&proxy, "hold", 2, || {
        name.lock().hold(conn, nothing).unwrap();
    });
    assert_costs(&proxy, "try_hold", 2, || {
        name.lock().try_hold(conn, nothing).unwrap().unwrap();
    });
    assert_costs(&proxy, "with_lock", 3, || {
        counter.with_lock(conn, |_, conn| nothing(conn)).unwrap();
    });
    // A nested lock does not read again.
    assert_costs(&proxy, "with_lock in with_lock", 5, || {
        counter
            .with_lock(conn, |counter, conn| {
                counter.with_lock(conn, |_, conn| nothing(conn))
            })
            .unwrap();
    });
    let other = &mut db.conn();
    let held = name.lock().acquire(other).unwrap();
    assert_costs(&proxy, "try_hold of a lock that is taken", 1, || {
        assert_eq!(name.lock().try_hold(conn, nothing).unwrap(), None);
    });
    // An error tells who holds the lock, which takes two statements, each prepared anew.
    assert_costs(
        &proxy,
        "hold of a lock that is taken, without a wait",
        5,
        || {
            name.lock().no_wait().hold(conn, nothing).unwrap_err();
        },
    );
    assert_costs(&proxy, "the status of a lock", 3, || {
        name.status(conn).unwrap();
    });
    held.release().unwrap();
    let a_second = std::time::Duration::from_secs(1);
    assert_costs(&proxy, "a long hold with nothing to raise", 4, || {
        name.lock()
            .longest_hold(a_second)
            .hold(conn, nothing)
            .unwrap();
    });
    let a_year = 365 * 24 * 3_600 * a_second;
    assert_costs(&proxy, "a long hold that is raised for", 8, || {
        name.lock()
            .longest_hold(a_year)
            .hold(conn, nothing)
            .unwrap();
    });
    // To wait takes a statement of its own, which is prepared anew.
    assert_costs(&proxy, "hold of a lock that is taken", 4, || {
        let held = name.lock().acquire(other).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| name.lock().hold(conn, nothing));
            std::thread::sleep(std::time::Duration::from_millis(30));
            held.release().unwrap();
            waiter.join().unwrap().unwrap();
        });
    });
}

/// Diesel wraps each BEGIN and each COMMIT in two requests, which allow several statements and forbid them again.
fn of_a_transaction_and_what_diesel_takes_for_its_own(db: &Db) {
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
    assert_costs(&proxy, ".transaction", 10, || {
        let request = counter.lock();
        request
            .transaction(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
}

fn of_a_lock_through_a_pool(db: &Db) {
    let (locks, proxy) = &db.locks_through_proxy(1);
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    let nothing = |_: &mut MysqlConnection| Ok::<_, LockError>(());
    assert_costs(proxy, "hold_from", 2, || {
        name.lock().hold_from(locks, nothing).unwrap();
    });
    assert_costs(proxy, "with_lock_from", 3, || {
        counter
            .with_lock_from(locks, |_, conn| nothing(conn))
            .unwrap();
    });
    assert_costs(proxy, ".transaction_from", 10, || {
        let request = counter.lock();
        request
            .transaction_from(locks, |_, conn| nothing(conn))
            .unwrap();
    });
}

fn of_several_locks_at_once(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut MysqlConnection::establish(&url).unwrap();
    let names = || [1, 2, 3].map(|id| LockName::row(counters::table, id));
    assert_costs(&proxy, "lock_all of three names", 6, || {
        lock_all(names(), conn, |_, _| Ok::<_, LockError>(())).unwrap();
    });
    // Six for BEGIN and COMMIT, and one for the proof, whatever the number of locks.
    assert_costs(&proxy, "a transaction under three names", 13, || {
        LockAll::of(names())
            .transaction(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
}
