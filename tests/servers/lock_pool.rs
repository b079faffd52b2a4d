//! `LockPool`: those who wait in the process, without a connection, and what is handed on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use diesel::connection::TransactionManager;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::processes::Elsewhere;
use crate::statements::session_status;
use crate::support::{Counter, Db, Locks, session_id, until, until_in_line};

cases![
    a_hot_lock_leaves_the_connections_to_others,
    each_closure_sees_the_last_ones_work,
    each_transaction_sees_the_last_ones_work,
    they_are_served_in_the_order_they_came,
    names_do_not_wait_for_each_other,
    a_hand_over_is_one_round_trip,
    a_hand_off_after_a_commit_adds_no_round_trip,
    other_sessions_go_first_after_the_last_hand_over,
    other_sessions_go_first_when_the_time_is_over,
    who_comes_later_waits_for_the_next_tenure,
    a_lone_process_is_not_kept_waiting,
    a_lock_nests_in_its_closure,
    an_open_transaction_is_refused,
    a_guard_may_end_in_another_thread,
    a_dropped_guard_is_handed_on,
    clones_share_one_queue,
];

/// Threads that wait in line behind a holder, in the order of their numbers.
fn line_up<'s>(
    scope: &'s Scope<'s, '_>,
    locks: &'s Locks,
    numbers: std::ops::Range<usize>,
    request: impl Fn(usize) + Copy + Send + 's,
) {
    let before = locks.state().waiting;
    for (waiting, number) in numbers.enumerate() {
        scope.spawn(move || request(number));
        until_in_line(locks, before + waiting + 1);
    }
}

fn a_hot_lock_leaves_the_connections_to_others(db: &Db) {
    db.counter(1);
    let locks = db.locks(4);
    let name = Counter { id: 1, value: 0 }.lock_name();
    let elsewhere = &mut db.conn();
    let held = name.lock().acquire(elsewhere).unwrap();
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut counter = Counter { id: 1, value: 0 };
                counter.with_lock_from(&locks, Counter::add_one).unwrap();
            });
        }
        until_in_line(&locks, 63);
        // One of the four connections waits on the server; the others are free at once.
        let others: Vec<_> = (0..3).map(|_| locks.pool().try_get()).collect();
        assert!(others.iter().all(Option::is_some));
        drop(others);
        held.release().unwrap();
    });
    assert_eq!(db.value(1), 64);
    assert_eq!(locks.state().names, 0);
}

fn each_closure_sees_the_last_ones_work(db: &Db) {
    db.counter(1);
    let locks = db.locks(4);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    // A copy from before anybody began.
                    let mut counter = Counter { id: 1, value: 0 };
                    counter.with_lock_from(&locks, Counter::add_one).unwrap();
                }
            });
        }
    });
    assert_eq!(db.value(1), 160);
    db.assert_idle(&locks);
}

fn each_transaction_sees_the_last_ones_work(db: &Db) {
    db.counter(1);
    let locks = db.locks(4);
    thread::scope(|scope| {
        for thread in 0..16 {
            let locks = &locks;
            scope.spawn(move || {
                for turn in 0..10 {
                    let mut counter = Counter { id: 1, value: 0 };
                    // Some are rolled back, and some have no transaction.
                    let result = match (thread + turn) % 4 {
                        0 => counter.with_lock_from(locks, Counter::add_one),
                        1 => counter.lock().transaction_from(locks, |counter, conn| {
                            counter.add_one(conn)?;
                            Err(diesel::result::Error::RollbackTransaction)
                        }),
                        _ => counter.lock().transaction_from(locks, Counter::add_one),
                    };
                    assert_eq!(result.is_err(), (thread + turn) % 4 == 1, "{result:?}");
                }
            });
        }
    });
    assert_eq!(db.value(1), 120);
    db.assert_idle(&locks);
}

fn they_are_served_in_the_order_they_came(db: &Db) {
    let locks = db.locks(2);
    let name = &LockName::named("job");
    let served = &Mutex::new(Vec::new());
    thread::scope(|scope| {
        let held = name.lock().acquire_from(&locks).unwrap();
        line_up(scope, &locks, 0..40, |number| {
            name.lock()
                .hold_from(&locks, |_| {
                    served.lock().unwrap().push(number);
                    Ok::<_, LockError>(())
                })
                .unwrap();
        });
        held.release().unwrap();
    });
    assert_eq!(*served.lock().unwrap(), Vec::from_iter(0..40));
}

fn names_do_not_wait_for_each_other(db: &Db) {
    let locks = db.locks(2);
    let one = LockName::named("one").lock().acquire_from(&locks).unwrap();
    let two = LockName::named("two").lock().no_wait();
    two.hold_from(&locks, |_| Ok::<_, LockError>(())).unwrap();
    one.release().unwrap();
}

/// What ten requests ask the server for that are served by hand-over: statements prepared, executed.
fn cost_of_ten_hand_overs(
    db: &Db,
    request: impl Fn(&Locks, &mut Counter) + Copy + Send + Sync,
) -> [i64; 2] {
    db.counter(1);
    // One connection, so that its own count is the whole.
    let locks = &db.locks(1);
    let status = |conn: &mut MysqlConnection| {
        ["Com_stmt_prepare", "Com_stmt_execute"].map(|variable| session_status(conn, variable))
    };
    let served = |requests| {
        let mut before = [0; 2];
        thread::scope(|scope| {
            let mut counter = Counter { id: 1, value: 0 };
            let mut held = counter.lock().acquire_from(locks).unwrap();
            before = status(&mut held);
            line_up(scope, locks, 0..requests, |_| {
                request(locks, &mut Counter { id: 1, value: 0 });
            });
            held.release().unwrap();
        });
        let after = status(&mut locks.pool().get().unwrap());
        [0, 1].map(|i| after[i] - before[i])
    };
    served(2);
    let (few, many) = (served(2), served(12));
    [0, 1].map(|i| many[i] - few[i])
}

fn a_hand_over_is_one_round_trip(db: &Db) {
    let cost = cost_of_ten_hand_overs(db, |locks, counter| {
        let request = counter.lock_name().lock();
        request
            .hold_from(locks, |_| Ok::<_, LockError>(()))
            .unwrap();
    });
    assert_eq!(cost, [0, 10], "prepared, executed");
}

/// The two that are left are the reload, and the proof before COMMIT. (BEGIN and COMMIT are not prepared.)
fn a_hand_off_after_a_commit_adds_no_round_trip(db: &Db) {
    let cost = cost_of_ten_hand_overs(db, |locks, counter| {
        let request = counter.lock();
        request
            .transaction_from(locks, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
    assert_eq!(cost, [0, 20], "prepared, executed");
}

/// How many closures of this process run before another process that waits on the server, while `waiting` are in line
/// here.
fn served_before_others(
    db: &Db,
    locks: &Locks,
    waiting: usize,
    body: impl Fn() + Copy + Send,
) -> usize {
    let name = &LockName::named("job");
    let served = &AtomicUsize::new(0);
    let run = move || {
        name.lock()
            .hold_from(locks, |_| {
                served.fetch_add(1, Ordering::SeqCst);
                body();
                Ok::<_, LockError>(())
            })
            .unwrap();
    };
    let mut before_others = 0;
    thread::scope(|scope| {
        let keeper = &mut db.conn();
        let held = name.lock().acquire(keeper).unwrap();
        // The server grants the lock to the first here while the others are in line already.
        scope.spawn(run);
        until("the first asks the server", || db.waiting() == 1);
        line_up(scope, locks, 0..waiting, move |_| run());
        let mut elsewhere = Elsewhere::ask(db, "job");
        until("the other process waits behind it", || db.waiting() == 2);
        held.release().unwrap();
        elsewhere.until_held();
        before_others = served.load(Ordering::SeqCst);
        elsewhere.release();
    });
    assert_eq!(served.load(Ordering::SeqCst), 1 + waiting);
    before_others
}

fn other_sessions_go_first_after_the_last_hand_over(db: &Db) {
    for (max_hand_overs, before) in [(0, 1), (5, 6), (100, 13)] {
        // With and without another connection, on which it could ask the server again.
        for connections in [2, 1] {
            let locks = LockPool::builder()
                .max_hand_overs(max_hand_overs)
                .max_tenure(Duration::MAX)
                .build(db.pool(connections).0);
            assert_eq!(served_before_others(db, &locks, 12, || {}), before);
        }
    }
}

fn other_sessions_go_first_when_the_time_is_over(db: &Db) {
    let locks = LockPool::builder()
        .max_tenure(Duration::from_millis(30))
        .build(db.pool(2).0);
    let body = || thread::sleep(Duration::from_millis(20));
    let before = served_before_others(db, &locks, 12, body);
    assert!((1..=2).contains(&before), "{before} of 20 ms in 30 ms");
}

/// 64 in line here, one in another process: by default it waits for at most 16 hand-overs.
fn a_lone_process_is_not_kept_waiting(db: &Db) {
    assert_eq!(served_before_others(db, &db.locks(4), 64, || {}), 17);
}

/// Two that come back at once would otherwise keep the lock between them.
fn who_comes_later_waits_for_the_next_tenure(db: &Db) {
    let locks = &LockPool::builder()
        .max_hand_overs(u32::MAX)
        .max_tenure(Duration::MAX)
        .build(db.pool(2).0);
    let name = &LockName::named("job");
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    name.lock()
                        .hold_from(locks, |_| Ok::<_, LockError>(()))
                        .unwrap();
                }
            });
        }
        let conn = &mut db.conn();
        for _ in 0..10 {
            let waits = name.lock().timeout(Duration::from_secs(20));
            waits.hold(conn, |_| Ok::<_, LockError>(())).unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
}

/// The closure's connection holds the lock, so a method that locks may call another.
fn a_lock_nests_in_its_closure(db: &Db) {
    let mut counter = db.counter(1);
    let locks = db.locks(1);
    counter
        .with_lock_from(&locks, |counter, conn| {
            counter.value = 5;
            // Not read again: what is not saved yet survives.
            counter.with_lock(conn, Counter::add_one)
        })
        .unwrap();
    assert_eq!(db.value(1), 6);
    db.assert_idle(&locks);
}

fn an_open_transaction_is_refused(db: &Db) {
    let mut counter = db.counter(1);
    let locks = db.locks(1);
    let other = LockName::named("other").lock();
    let refused = counter.lock().transaction_from(&locks, |_, conn| {
        other.hold(conn, |_| Ok::<_, LockError>(()))
    });
    assert!(
        matches!(refused, Err(LockError::OpenTransaction { .. })),
        "{refused:?}"
    );
    let left_open = counter.with_lock_from(&locks, |counter, conn| {
        <MysqlConnection as Connection>::TransactionManager::begin_transaction(conn)?;
        counter.add_one(conn)
    });
    let error = left_open.unwrap_err();
    assert!(
        matches!(
            LockError::in_diesel(&error),
            Some(LockError::TransactionLeftOpen { .. })
        ),
        "{error:?}"
    );
    assert_eq!(db.value(1), 0);
    db.assert_idle(&locks);
}

fn a_guard_may_end_in_another_thread(db: &Db) {
    let mut counter = db.counter(1);
    let locks = db.locks(1);
    let mut held = counter.lock().acquire_from(&locks).unwrap();
    counter.add_one(&mut held).unwrap();
    assert!(counter.lock().try_acquire_from(&locks).unwrap().is_none());
    thread::spawn(move || held.release().unwrap())
        .join()
        .unwrap();
    let held = counter.lock().try_acquire_from(&locks).unwrap();
    assert_eq!(counter.value, 1);
    drop(held);
    db.assert_idle(&locks);
}

fn a_dropped_guard_is_handed_on(db: &Db) {
    let locks = &db.locks(1);
    let name = &LockName::named("job");
    thread::scope(|scope| {
        let mut held = name.lock().acquire_from(locks).unwrap();
        let session = session_id(&mut held);
        line_up(scope, locks, 0..1, move |_| {
            let same = |conn: &mut _| Ok::<_, LockError>(session_id(conn) == session);
            assert!(name.lock().hold_from(locks, same).unwrap());
        });
        drop(held);
    });
    db.assert_idle(locks);
}

fn clones_share_one_queue(db: &Db) {
    let locks = db.locks(2);
    let held = LockName::named("job").lock().acquire_from(&locks).unwrap();
    assert_eq!(locks.clone().state().names, 1);
    held.release().unwrap();
    assert_eq!(locks.clone().state().names, 0);
}
