//! How many round trips a client waits for. `docs/benchmarks.md` explains the numbers.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;
use test_server::Proxy;

use crate::server::session_id;
use crate::suite::lock_pool::queue_up;
use crate::suite::support::{Counter, Db, Locks, counters};

/// Asserts the round trips of one run of `work`, whose statements have been prepared.
///
/// Counts the cheapest of ten runs, or of more if that is needed, since a busy machine may split an
/// answer.
#[track_caller]
fn assert_costs(proxy: &Proxy, what: &str, expected: u64, mut work: impl FnMut()) {
    work();
    let mut cheapest = u64::MAX;
    for run in 1..=200 {
        let before = proxy.round_trips();
        work();
        cheapest = cheapest.min(proxy.round_trips() - before);
        if run >= 10 && cheapest <= expected {
            break;
        }
    }
    assert_eq!(cheapest, expected, "round trips of {what}");
}

fn nothing(_: &mut PgConnection) -> Result<(), LockError> {
    Ok(())
}

#[server_test]
fn run_takes_two_or_three_round_trips(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    assert_costs(&proxy, "run", 2, || {
        name.lock().run(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, "try_run", 2, || {
        let result = name.lock().try_run(conn, |_, conn| nothing(conn));
        result.unwrap().unwrap();
    });
    assert_costs(&proxy, "run of a shared lock", 2, || {
        let request = name.lock().shared();
        request.run(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, "run of a row's name", 2, || {
        let request = counter.lock_name().lock();
        request.run(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, "with_lock", 3, || {
        counter.with_lock(conn, |_, conn| nothing(conn)).unwrap();
    });
    // A re-entrant lock does not reload its model.
    assert_costs(&proxy, "with_lock in with_lock", 5, || {
        let result = counter.with_lock(conn, |counter, conn| {
            counter.with_lock(conn, |_, conn| nothing(conn))
        });
        result.unwrap();
    });
    let other = &mut db.conn();
    let held = name.lock().acquire(other).unwrap();
    assert_costs(&proxy, "try_run, held elsewhere", 1, || {
        let result = name.lock().try_run(conn, |_, conn| nothing(conn));
        assert_eq!(result.unwrap(), None);
    });
    // The error names the holder.
    assert_costs(&proxy, "run of a contended lock, without a wait", 2, || {
        let request = name.lock().no_wait();
        request.run(conn, |_, conn| nothing(conn)).unwrap_err();
    });
    assert_costs(&proxy, "status", 1, || {
        name.status(conn).unwrap();
    });
    held.release().unwrap();
}

#[server_test]
fn guard_takes_two_or_three_round_trips(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    assert_costs(&proxy, "a guard of a name", 2, || {
        name.lock().acquire(conn).unwrap().release().unwrap();
    });
    assert_costs(&proxy, "a guard of a model", 3, || {
        counter.lock().acquire(conn).unwrap().release().unwrap();
    });
    assert_costs(&proxy, "a guard that is dropped", 2, || {
        drop(name.lock().acquire(conn).unwrap());
    });
    assert_costs(&proxy, "a guard that is verified", 3, || {
        let mut held = name.lock().acquire(conn).unwrap();
        held.verify().unwrap();
        held.release().unwrap();
    });
}

/// The settings are read, and then changed and restored if one is shorter.
#[server_test]
fn keep_alive_takes_one_or_three_round_trips_more(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    let name = LockName::named("job");
    let a_second = Duration::from_secs(1);
    assert_costs(&proxy, "keep_alive without an idle timeout", 3, || {
        let request = name.lock().keep_alive(a_second);
        request.run(conn, |_, conn| nothing(conn)).unwrap();
    });
    conn.batch_execute("SET idle_session_timeout = '10min'")
        .unwrap();
    assert_costs(&proxy, "keep_alive above the idle timeout", 5, || {
        let request = name.lock().keep_alive(3_600 * a_second);
        request.run(conn, |_, conn| nothing(conn)).unwrap();
    });
}

/// BEGIN and the lock, the reload, COMMIT.
#[server_test]
fn transaction_takes_two_or_three_round_trips(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    assert_costs(&proxy, "Diesel's empty transaction", 2, || {
        conn.transaction(|_| QueryResult::Ok(())).unwrap();
    });
    assert_costs(&proxy, "FOR UPDATE in a transaction", 3, || {
        conn.transaction(|conn| {
            let row = counters::table.find(1).select(Counter::as_select());
            row.for_update().first(conn).map(drop)
        })
        .unwrap();
    });
    assert_costs(&proxy, ".transaction of a model", 3, || {
        let request = counter.lock();
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, ".transaction of a name", 2, || {
        let request = name.lock();
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, "a re-entrant lock in .transaction", 4, || {
        let result = counter.lock().transaction(conn, |counter, conn| {
            counter.with_lock(conn, |_, conn| nothing(conn))
        });
        result.unwrap();
    });
    assert_costs(&proxy, ".transaction that is rolled back", 3, || {
        let result = counter.lock().transaction(conn, |_, _| {
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        });
        result.unwrap_err();
    });
    // An attempt without a wait acquires a lock of the session before BEGIN, verifies it before
    // COMMIT, and releases it after that.
    assert_costs(&proxy, "try_transaction of a model", 6, || {
        let result = counter
            .lock()
            .try_transaction(conn, |_, conn| nothing(conn));
        result.unwrap().unwrap();
    });
    assert_costs(&proxy, "try_transaction of a name", 5, || {
        let result = name.lock().try_transaction(conn, |_, conn| nothing(conn));
        result.unwrap().unwrap();
    });
}

/// As an attempt without a wait.
#[server_test]
fn transaction_above_read_committed_takes_five_or_six_round_trips(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    conn.batch_execute("SET default_transaction_isolation = 'repeatable read'")
        .unwrap();
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    assert_costs(&proxy, ".transaction of a model", 6, || {
        let request = counter.lock();
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, ".transaction of a name", 5, || {
        let request = name.lock();
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
}

#[server_test]
fn until_commit_takes_one_or_two_round_trips(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    assert_costs(&proxy, "BEGIN, until_commit of a name, COMMIT", 3, || {
        conn.transaction(|conn| QueryResult::Ok(name.lock().until_commit(conn)?))
            .unwrap();
    });
    assert_costs(&proxy, "BEGIN, until_commit of a model, COMMIT", 4, || {
        conn.transaction(|conn| QueryResult::Ok(counter.lock().until_commit(conn)?))
            .unwrap();
    });
    assert_costs(
        &proxy,
        "BEGIN, try_until_commit of a name, COMMIT",
        3,
        || {
            let result =
                conn.transaction(|conn| QueryResult::Ok(name.lock().try_until_commit(conn)?));
            result.unwrap().unwrap();
        },
    );
}

/// One statement determines the order of the locks.
#[server_test]
fn set_takes_one_round_trip_more_than_its_locks(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    let (mut first, mut second) = (db.counter(1), db.counter(2));
    let names = || [1, 2, 3].map(|id| LockName::row(counters::table, id));
    assert_costs(&proxy, "lock_all of three names", 7, || {
        let request = lock_all(names());
        request.run(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, "lock_all of two models", 7, || {
        let request = lock_all((&mut first, &mut second));
        request.run(conn, |_, conn| nothing(conn)).unwrap();
    });
    // One message begins the transaction and acquires all locks.
    assert_costs(&proxy, "a transaction under three names", 3, || {
        let request = lock_all(names());
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(&proxy, "a transaction under two models", 5, || {
        let request = lock_all((&mut first, &mut second));
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
}

/// The transaction waits in the message that begins it.
#[server_test]
fn wait_takes_at_most_one_round_trip_more(db: &Db) {
    let (proxy, url) = db.proxy();
    let conn = &mut PgConnection::establish(&url).unwrap();
    let session = session_id(conn);
    let other = &mut db.conn();
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let mut contended = |what, expected, work: &mut (dyn FnMut(&mut PgConnection) + Send)| {
        assert_costs(&proxy, what, expected, || {
            let held = name.lock().acquire(other).unwrap();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| work(conn));
                db.wait_until_blocked(session);
                held.release().unwrap();
                waiter.join().unwrap();
            });
        });
    };
    contended("run of a name, with a wait", 3, &mut |conn| {
        name.lock().run(conn, |_, conn| nothing(conn)).unwrap();
    });
    contended("run of a model, with a wait", 4, &mut |conn| {
        counter.with_lock(conn, |_, conn| nothing(conn)).unwrap();
    });
    contended(".transaction of a name, with a wait", 2, &mut |conn| {
        let request = name.lock();
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
    contended(".transaction of a model, with a wait", 3, &mut |conn| {
        let request = counter.lock();
        request.transaction(conn, |_, conn| nothing(conn)).unwrap();
    });
    contended(
        "BEGIN, until_commit of a name with a wait, COMMIT",
        4,
        &mut |conn| {
            conn.transaction(|conn| QueryResult::Ok(name.lock().until_commit(conn)?))
                .unwrap();
        },
    );
}

#[server_test]
fn lock_through_a_pool_takes_two_or_three_round_trips(db: &Db) {
    let (locks, proxy) = &db.locks_through_proxy(1);
    let mut counter = db.counter(1);
    let name = LockName::named("job");
    assert_costs(proxy, "LockPool::run of a name", 2, || {
        locks.run(name.lock(), |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(proxy, "LockPool::run of a model", 3, || {
        locks.run(counter.lock(), |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(proxy, "LockPool::transaction of a model", 3, || {
        let request = counter.lock();
        locks.transaction(request, |_, conn| nothing(conn)).unwrap();
    });
    assert_costs(proxy, "LockPool::transaction of a name", 2, || {
        let request = name.lock();
        locks.transaction(request, |_, conn| nothing(conn)).unwrap();
    });
}

/// Asserts the round trips of one request of `LockPool` that is handed the lock.
fn assert_handoff_costs(
    db: &Db,
    what: &str,
    expected: u64,
    request: impl Fn(&Locks, &mut Counter) + Copy + Send + Sync,
) {
    let (proxy, url) = db.proxy();
    let (pool, _) = Db::pool_at(&url, 1, |_| {});
    // The lock is handed off to each request, however slow the machine is.
    let locks = LockPool::builder().max_handoff_time(Duration::from_secs(600));
    let locks = &locks.build(pool);
    let served = |requests| {
        thread::scope(|scope| {
            let mut counter = Counter { id: 1, value: 0 };
            let held = locks.acquire(counter.lock()).unwrap();
            let before = proxy.round_trips();
            queue_up(scope, locks, 0..requests, |_| {
                move || request(locks, &mut Counter { id: 1, value: 0 })
            });
            held.release().unwrap();
            before
        })
    };
    let mut cheapest = [(2, u64::MAX), (12, u64::MAX)];
    let of_ten = 10 * expected;
    for _ in 0..50 {
        for (requests, cheapest) in &mut cheapest {
            let before = served(*requests);
            *cheapest = (proxy.round_trips() - before).min(*cheapest);
        }
        if cheapest[1].1 - cheapest[0].1 == of_ten {
            return;
        }
    }
    panic!("round trips of {what}: {cheapest:?}");
}

/// The round trip verifies that the session holds the lock.
#[server_test]
fn handoff_takes_one_round_trip(db: &Db) {
    db.counter(1);
    assert_handoff_costs(db, "LockPool::run of a name", 1, |locks, counter| {
        let request = counter.lock_name().lock();
        locks.run(request, |_, conn| nothing(conn)).unwrap();
    });
    assert_handoff_costs(db, "LockPool::run of a model", 2, |locks, counter| {
        locks.run(counter.lock(), |_, conn| nothing(conn)).unwrap();
    });
    assert_handoff_costs(
        db,
        "LockPool::transaction of a model",
        3,
        |locks, counter| {
            let request = counter.lock();
            locks.transaction(request, |_, conn| nothing(conn)).unwrap();
        },
    );
}
