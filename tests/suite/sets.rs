//! Sets of locks: one order, one deadline, all or none.

use std::cmp::Ordering;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::TimeoutCause;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::lock_pool::queue_up;
use super::support::{Counter, Db, counters, wait_until, wait_until_queued};
use crate::server::{Conn, session_id};

impl Counter {
    fn give(&mut self, to: &mut Counter, amount: i64, conn: &mut Conn) -> QueryResult<()> {
        if self.value >= amount {
            self.value -= amount;
            to.value += amount;
            self.save(conn)?;
            to.save(conn)?;
        }
        Ok(())
    }
}

const ACCOUNTS: i64 = 10;

/// Eight threads move money between ten accounts at random.
fn move_money(db: &Db, transfer: impl Fn(&mut Counter, &mut Counter, i64) + Sync) {
    for id in 0..ACCOUNTS {
        db.counter(id);
    }
    db.execute("UPDATE counters SET value = 100");
    thread::scope(|scope| {
        for thread in 0..8 {
            let transfer = &transfer;
            scope.spawn(move || {
                let mut random = 2 * thread + 1;
                let mut next = |below| {
                    random = (random * 6_364_136_223_846_793_005_i128 + 1_442_695_040_888_963_407)
                        % (1 << 64);
                    i64::try_from((random >> 33) % below).unwrap()
                };
                for _ in 0..50 {
                    let (from, to) = (next(10), next(9));
                    let to = if to < from { to } else { to + 1 };
                    let account = |id| Counter { id, value: 0 };
                    transfer(&mut account(from), &mut account(to), next(80));
                }
            });
        }
    });
    let balances: Vec<i64> = counters::table
        .select(counters::value)
        .load(&mut db.conn())
        .unwrap();
    assert_eq!(balances.iter().sum::<i64>(), 100 * ACCOUNTS);
    assert!(balances.iter().all(|balance| *balance >= 0), "{balances:?}");
    assert!(
        balances.iter().any(|balance| *balance != 100),
        "no money was moved"
    );
}

#[server_test]
fn transfers_on_connections_keep_the_sum(db: &Db) {
    move_money(db, |from, to, amount| {
        let conn = &mut db.conn();
        lock_all((from, to))
            .transaction(conn, |(from, to), conn| from.give(to, amount, conn))
            .unwrap();
    });
}

/// More threads than connections, and single locks between, which are handed off.
#[server_test]
fn transfers_through_a_pool_of_two_keep_the_sum(db: &Db) {
    let locks = db.locks(2);
    move_money(db, |from, to, amount| {
        if amount % 4 == 0 {
            locks
                .transaction(from.lock(), |from, conn| from.save(conn))
                .unwrap();
        }
        locks
            .transaction(lock_all((from, to)), |(from, to), conn| {
                from.give(to, amount, conn)
            })
            .unwrap();
    });
    db.assert_idle(&locks);
}

/// Each pair is locked in both orders, many times at once. One misplaced lock would be a deadlock.
#[server_test]
fn sets_in_any_order_do_not_deadlock(db: &Db) {
    let session = &LockName::named("job");
    // Two spellings of one lock, locks that sort before and after it, and one without a namespace.
    let spelled_out = &session.clone().namespace(&db.schema);
    let other_namespace = |order| {
        let full_name = |name: &LockName| db.full_name(name);
        (0..)
            .map(|number| LockName::named("job").namespace(format!("other {number}")))
            .find(|name| full_name(name).cmp(&full_name(session)) == order)
            .unwrap()
    };
    let (before, after) = (
        &other_namespace(Ordering::Less),
        &other_namespace(Ordering::Greater),
    );
    let exact = &LockName::exact("job").unwrap();
    let names = [session, before, spelled_out, after, exact];
    thread::scope(|scope| {
        for thread in 0..10 {
            scope.spawn(move || {
                let conn = &mut db.conn();
                for turn in 0..40 {
                    let (one, other) = (names[thread % 5], names[(thread + turn) % 5]);
                    let set = if turn % 2 == 0 {
                        [one, other]
                    } else {
                        [other, one]
                    };
                    lock_all(set)
                        .run(conn, |_, _| Ok::<_, LockError>(()))
                        .unwrap();
                }
            });
        }
    });
}

/// The session that waits for the lock that was acquired last gets it first.
#[server_test]
fn locks_of_a_set_are_released_in_reverse(db: &Db) {
    let names = &["a", "b", "c"].map(LockName::named);
    let (locks, proxy) = &db.locks_through_proxy(1);
    let order = &Mutex::new(Vec::new());
    thread::scope(|scope| {
        let waiting = locks.run(lock_all(names.each_ref()), |_, _| {
            for name in names {
                scope.spawn(move || {
                    let noted = |_: &mut _| {
                        order.lock().unwrap().push(name);
                        Ok::<_, LockError>(())
                    };
                    name.lock()
                        .run(&mut db.conn(), |_, conn| noted(conn))
                        .unwrap();
                });
            }
            db.wait_until_sessions_wait(3);
            // Leaves time between the releases to observe their order.
            proxy.set_delay(Duration::from_millis(50));
            Ok::<_, LockError>(())
        });
        waiting.unwrap();
    });
    assert_eq!(*order.lock().unwrap(), [&names[2], &names[1], &names[0]]);
}

#[server_test]
fn queued_sets_take_no_connection(db: &Db) {
    let names = &["a", "b"].map(LockName::named);
    let locks = &db.locks(3);
    let ran = &AtomicUsize::new(0);
    thread::scope(|scope| {
        let holder = &mut db.conn();
        let held = names[1].lock().acquire(holder).unwrap();
        for _ in 0..20 {
            scope.spawn(|| {
                let all = lock_all(names.each_ref());
                locks
                    .run(all, |_, _| Ok::<_, LockError>(ran.fetch_add(1, SeqCst)))
                    .unwrap();
            });
        }
        wait_until_queued(locks, 19);
        assert_eq!(locks.pool().state().idle_connections, 2);
        held.release().unwrap();
    });
    assert_eq!(ran.load(SeqCst), 20);
    db.assert_idle(locks);
}

#[server_test]
fn locks_of_a_set_are_held_and_its_models_reloaded(db: &Db) {
    let (mut one, mut rows) = (db.counter(1), vec![db.counter(2), db.counter(3)]);
    db.execute("UPDATE counters SET value = 7");
    let job = LockName::named("job");
    let nested = [LockName::named("a"), LockName::named("b")];
    let conn = &mut db.conn();
    let session = session_id(conn);
    let names: Vec<_> = [one.lock_name(), job.clone()]
        .into_iter()
        .chain(rows.iter().map(Lockable::lock_name))
        .chain(nested.clone())
        .collect();
    let set = ((&mut one, &job), &mut rows[..], Vec::from(nested));
    lock_all(set)
        .run(conn, |((one, job), rows, _), _| {
            for name in &names {
                assert_eq!(db.holder(name), Some(session), "{name}");
            }
            assert_eq!((one.value, rows[0].value, rows[1].value), (7, 7, 7));
            assert_eq!(job, &LockName::named("job"));
            Ok::<_, LockError>(())
        })
        .unwrap();
    names.iter().for_each(|name| db.assert_free(name));
    assert_eq!((one.value, rows[0].value), (7, 7));
}

#[server_test]
fn lock_named_twice_in_a_set_is_acquired_once(db: &Db) {
    let mut first = db.counter(1);
    let mut second = first.clone();
    db.execute("UPDATE counters SET value = 7");
    let name = first.lock_name();
    let conn = &mut db.conn();
    lock_all((&mut first, &name, &mut second))
        .run(conn, |(first, _, second), conn| {
            assert_eq!((first.value, second.value), (7, 7));
            // The lock was acquired once: one release frees it.
            db.release_raw(conn, &name);
            db.assert_free(&name);
            db.acquire_raw(conn, &name);
            QueryResult::Ok(())
        })
        .unwrap();
    db.assert_free(&name);

    let locks = db.locks(1);
    locks
        .run(
            lock_all((&mut first, &name, &mut second)),
            |(first, _, second), _| {
                assert_eq!((first.value, second.value), (7, 7));
                Ok::<_, LockError>(())
            },
        )
        .unwrap();
    db.assert_idle(&locks);
}

/// With the schema as an explicit namespace and without. The server reports that it is one lock.
#[server_test]
fn lock_with_two_names_in_a_set_is_acquired_once(db: &Db) {
    let mut counter = db.counter(1);
    db.execute("UPDATE counters SET value = 7");
    let spelled = counter.lock_name().namespace(&db.schema);
    assert_ne!(spelled, counter.lock_name());
    let conn = &mut db.conn();
    for spelled_first in [true, false] {
        counter.value = 0;
        let read = |counter: &mut Counter| {
            assert_eq!(counter.value, 7, "a stale copy");
            Ok::<_, LockError>(())
        };
        if spelled_first {
            lock_all((&spelled, &mut counter))
                .run(conn, |(_, counter), _| read(counter))
                .unwrap();
        } else {
            lock_all((&mut counter, &spelled))
                .run(conn, |(counter, _), _| read(counter))
                .unwrap();
        }
        db.assert_free(&spelled);
    }
}

#[server_test]
fn model_whose_lock_is_held_is_not_reloaded_by_a_set(db: &Db) {
    let (mut held, mut other) = (db.counter(1), db.counter(2));
    db.execute("UPDATE counters SET value = 7");
    held.with_lock(&mut db.conn(), |held, conn| {
        held.value = 99;
        lock_all((&mut *held, &mut other)).run(conn, |(held, other), _| {
            assert_eq!((held.value, other.value), (99, 7));
            Ok::<_, LockError>(())
        })?;
        let session = session_id(conn);
        assert_eq!(
            db.holder(&held.lock_name()),
            Some(session),
            "released too often"
        );
        Ok::<_, LockError>(())
    })
    .unwrap();
    db.assert_free(&held.lock_name());
}

#[server_test]
fn set_with_one_contended_lock_holds_no_lock_after_the_timeout(db: &Db) {
    let names = ["a", "b", "c"].map(LockName::named);
    let holder = &mut db.conn();
    let held = names[1].lock().acquire(holder).unwrap();
    let conn = &mut db.conn();
    let locks = db.locks(1);
    let start = Instant::now();
    let wait = Duration::from_millis(300);
    let request = || lock_all(names.each_ref()).timeout(wait);
    let timed_out = |run: Result<(), LockError>| {
        let Err(LockError::Timeout { name, waited, .. }) = run else {
            panic!("{run:?}");
        };
        assert_eq!(name, names[1]);
        assert!(waited >= wait, "{waited:?}");
        db.assert_free(&names[0]);
        db.assert_free(&names[2]);
    };
    timed_out(request().run(conn, |_, _| Ok(())));
    timed_out(locks.transaction(request(), |_, _| Ok(())));
    assert!(start.elapsed() < Duration::from_secs(5));
    let none = lock_all(names.each_ref()).try_run(conn, |_, _| Ok::<_, LockError>(()));
    assert!(none.unwrap().is_none());
    let none = locks.try_run(lock_all(names.each_ref()), |_, _| Ok::<_, LockError>(()));
    assert!(none.unwrap().is_none());
    held.release().unwrap();
    assert_eq!(
        request()
            .try_run(conn, |_, _| Ok::<_, LockError>(5))
            .unwrap(),
        Some(5)
    );
    let again = locks.try_transaction(request(), |_, _| Ok::<_, LockError>(5));
    assert_eq!(again.unwrap(), Some(5));
    let again = request().try_transaction(conn, |_, _| Ok::<_, LockError>(5));
    assert_eq!(again.unwrap(), Some(5));
    db.assert_idle(&locks);
}

#[server_test]
fn set_with_a_deleted_row_keeps_no_lock(db: &Db) {
    let (mut stays, mut gone) = (db.counter(1), db.counter(2));
    db.execute("DELETE FROM counters WHERE id = 2");
    let names = [stays.lock_name(), gone.lock_name()];
    let run: Result<(), LockError> =
        lock_all((&mut stays, &mut gone)).run(&mut db.conn(), |_, _| panic!("must not run"));
    let Err(LockError::RowNotFound { name, .. }) = run else {
        panic!("{run:?}");
    };
    assert_eq!(name, names[1]);
    names.iter().for_each(|name| db.assert_free(name));
}

#[server_test]
fn error_in_a_set_rolls_back_and_releases_all(db: &Db) {
    let (mut one, mut other) = (db.counter(1), db.counter(2));
    let names = [one.lock_name(), other.lock_name()];
    let conn = &mut db.conn();
    let run: QueryResult<()> =
        lock_all((&mut one, &mut other)).transaction(conn, |(one, other), conn| {
            one.value = 5;
            one.save(conn)?;
            other.value = 5;
            other.save(conn)?;
            Err(diesel::result::Error::RollbackTransaction)
        });
    assert_eq!(run, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!((db.value(1), db.value(2)), (0, 0));
    names.iter().for_each(|name| db.assert_free(name));
}

#[server_test]
fn set_inside_open_transaction_is_refused(db: &Db) {
    let names = [LockName::named("a"), LockName::named("b")];
    db.conn()
        .transaction(|conn| {
            let run = lock_all(names.each_ref()).run(conn, |_, _| Ok::<_, LockError>(()));
            assert!(
                matches!(run, Err(LockError::OpenTransaction { .. })),
                "{run:?}"
            );
            QueryResult::Ok(())
        })
        .unwrap();
    // Locks that are held around the transaction may be acquired again inside it. One that is not
    // held refuses the whole set.
    let conn = &mut db.conn();
    let mut held = names[0].lock().acquire(conn).unwrap();
    held.transaction(|conn| {
        lock_all([&names[0]])
            .run(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
        let run = lock_all(names.each_ref()).run(conn, |_, _| Ok::<_, LockError>(()));
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        QueryResult::Ok(())
    })
    .unwrap();
    held.release().unwrap();
    names.iter().for_each(|name| db.assert_free(name));
}

#[server_test]
fn loss_in_a_set_returns_lost_and_releases_the_rest(db: &Db) {
    let names = ["a", "b", "c"].map(LockName::named);
    let conn = &mut db.conn();
    let run = lock_all(names.each_ref()).run(conn, |names, conn| {
        db.release_raw(conn, names[1]);
        Ok::<_, LockError>(())
    });
    let Err(LockError::Lost {
        name, source: None, ..
    }) = run
    else {
        panic!("{run:?}");
    };
    assert_eq!(name, names[1]);
    names.iter().for_each(|name| db.assert_free(name));

    let run = lock_all(names.each_ref()).run(&mut db.conn(), |_, conn| {
        db.kill_session(session_id(conn));
        Ok::<_, LockError>(())
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
    for name in &names {
        db.wait_until_free(name);
    }
}

#[server_test]
fn empty_set_locks_nothing(db: &Db) {
    let nothing: &mut [Counter] = &mut [];
    let ran =
        lock_all(nothing).transaction(&mut db.conn(), |rows, _| Ok::<_, LockError>(rows.len()));
    assert_eq!(ran.unwrap(), 0);
}

#[server_test]
fn scope_of_a_set_is_for_all_its_locks(db: &Db) {
    let mut counter = db.counter(1);
    let (plain, job) = (counter.lock_name(), LockName::named("job"));
    let conn = &mut db.conn();
    let session = session_id(conn);
    lock_all((&mut counter, &job))
        .scope("send")
        .namespace("elsewhere")
        .run(conn, |_, _| {
            for name in [&plain, &job] {
                db.assert_free(name);
                let taken = name.clone().namespace("elsewhere").scope("send");
                assert_eq!(db.holder(&taken), Some(session), "{taken}");
            }
            Ok::<_, LockError>(())
        })
        .unwrap();
}

#[server_test]
fn set_of_a_hundred_rows_is_locked(db: &Db) {
    let locks = db.locks(1);
    let mut rows: Vec<_> = (0..100).map(|id| db.counter(id)).collect();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (locks, mut rows) = (&locks, rows.clone());
            scope.spawn(move || {
                rows.reverse();
                locks
                    .run(lock_all(&mut rows[..]), |rows, conn| {
                        rows.iter_mut().try_for_each(|row| {
                            row.value += 1;
                            row.save(conn).map(drop)
                        })
                    })
                    .unwrap();
            });
        }
    });
    lock_all(&mut rows[..])
        .run(&mut db.conn(), |rows, _| {
            assert!(rows.iter().all(|row| row.value == 3));
            Ok::<_, LockError>(())
        })
        .unwrap();
    db.assert_idle(&locks);
}

fn two_names() -> [LockName; 2] {
    ["one", "two"].map(LockName::named)
}

/// The six requests use one connection, which is returned once.
#[server_test]
fn set_is_handed_off_to_requests_for_the_same_locks_in_any_order(db: &Db) {
    let (pool, events) = db.pool(4);
    let locks = LockPool::builder().max_handoff_time(Duration::from_secs(600));
    let locks = &locks.build(pool);
    let [one, two] = &two_names();
    let returned = || events.returned.load(SeqCst);
    thread::scope(|scope| {
        let guard = locks.acquire(lock_all((one, two))).unwrap();
        queue_up(scope, locks, 0..6, move |number| {
            let set = match number % 2 {
                0 => lock_all([one, two]),
                _ => lock_all([two, one]),
            };
            let run = locks.run(set, |names, conn| {
                assert_eq!(names[number % 2], one);
                let session = Some(session_id(conn));
                assert_eq!([one, two].map(|name| db.holder(name)), [session; 2]);
                Ok::<_, LockError>(())
            });
            run.unwrap();
        });
        assert_eq!(returned(), 0);
        // The first request was not queued when the server granted the lock to this guard.
        guard.release().unwrap();
    });
    assert_eq!(returned(), 2);
    for name in two_names() {
        db.assert_free(&name);
    }
    db.assert_idle(locks);
}

#[server_test]
fn set_does_not_overtake_a_request_for_one_of_its_locks(db: &Db) {
    let locks = &db.locks(4);
    let [one, two] = &two_names();
    for single in [one, two] {
        let served = &Mutex::new(Vec::new());
        thread::scope(|scope| {
            let guard = locks.acquire(lock_all((one, two))).unwrap();
            queue_up(scope, locks, 0..3, move |number| {
                let serve = |_: &mut Conn| {
                    served.lock().unwrap().push(number);
                    Ok::<_, LockError>(())
                };
                match number {
                    0 => locks.run(single.lock(), |_, conn| serve(conn)).unwrap(),
                    _ => locks
                        .run(lock_all((one, two)), |_, conn| serve(conn))
                        .unwrap(),
                }
            });
            guard.release().unwrap();
        });
        assert_eq!(*served.lock().unwrap(), [0, 1, 2], "{single}");
        db.assert_idle(locks);
    }
}

/// The closure of the next request runs on another thread.
#[server_test]
fn thread_that_handed_off_a_set_times_out_in_the_queue(db: &Db) {
    let locks = &db.locks(2);
    let [one, two] = &two_names();
    let has_started = &Mutex::new(false);
    let may_end = &Mutex::new(());
    thread::scope(|scope| {
        let keep_running = may_end.lock().unwrap();
        let queue_the_next = || {
            queue_up(scope, locks, 0..1, move |_| {
                let run = locks.run(lock_all((one, two)), |_, _| {
                    *has_started.lock().unwrap() = true;
                    drop(may_end.lock());
                    Ok::<_, LockError>(())
                });
                run.unwrap();
            });
            Ok::<_, LockError>(())
        };
        locks
            .run(lock_all((one, two)), |_, _| queue_the_next())
            .unwrap();
        wait_until("the next closure runs", || *has_started.lock().unwrap());
        for name in [one, two] {
            let lock = name.lock().timeout(Duration::from_millis(50));
            let error = locks.acquire(lock).unwrap_err();
            let LockError::Timeout { cause, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(cause, TimeoutCause::Queue, "{name}");
        }
        drop(keep_running);
    });
    db.assert_idle(locks);
}
