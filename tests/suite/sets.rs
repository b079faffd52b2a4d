//! Sets of locks: one order, one deadline, all or none.

use std::cmp::Ordering;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use diesel::prelude::*;
#[blocking]
use diesel_advisory_lock::TimeoutCause;
use diesel_advisory_lock::prelude::*;
use server_test::{blocking, both, server_test};

use super::lock_pool::queue_up;
use super::support::{Counter, Db, counters, wait_until, wait_until_queued};
use crate::api::{Connection, RunQueryDsl, concurrently, thread};
use crate::server::{Conn, session_id};

#[both]
impl Counter {
    async fn give(&mut self, to: &mut Counter, amount: i64, conn: &mut Conn) -> QueryResult<()> {
        if self.value >= amount {
            self.value -= amount;
            to.value += amount;
            self.save(conn).await?;
            to.save(conn).await?;
        }
        Ok(())
    }
}

const ACCOUNTS: i64 = 10;

/// Eight threads move money between ten accounts at random.
#[both]
async fn move_money(db: &Db, transfer: impl AsyncFn(&mut Counter, &mut Counter, i64) + Sync) {
    for id in 0..ACCOUNTS {
        db.counter(id).await;
    }
    db.execute("UPDATE counters SET value = 100").await;
    concurrently(8, async |thread| {
        let mut random = 2 * i128::try_from(thread).unwrap() + 1;
        let mut next = |below| {
            random =
                (random * 6_364_136_223_846_793_005_i128 + 1_442_695_040_888_963_407) % (1 << 64);
            i64::try_from((random >> 33) % below).unwrap()
        };
        for _ in 0..50 {
            let (from, to) = (next(10), next(9));
            let to = if to < from { to } else { to + 1 };
            let account = |id| Counter { id, value: 0 };
            transfer(&mut account(from), &mut account(to), next(80)).await;
        }
    })
    .await;
    let balances: Vec<i64> = counters::table
        .select(counters::value)
        .load(&mut db.conn().await)
        .await
        .unwrap();
    assert_eq!(balances.iter().sum::<i64>(), 100 * ACCOUNTS);
    assert!(balances.iter().all(|balance| *balance >= 0), "{balances:?}");
    assert!(
        balances.iter().any(|balance| *balance != 100),
        "no money was moved"
    );
}

#[server_test]
async fn transfers_on_connections_keep_the_sum(db: &Db) {
    move_money(db, async |from, to, amount| {
        let conn = &mut db.conn().await;
        lock_all((from, to))
            .transaction(conn, async |(from, to), conn| {
                from.give(to, amount, conn).await
            })
            .await
            .unwrap();
    })
    .await;
}

/// More threads than connections, and single locks between, which are handed off.
#[server_test]
async fn transfers_through_a_pool_of_two_keep_the_sum(db: &Db) {
    let locks = db.locks(2).await;
    move_money(db, async |from, to, amount| {
        if amount % 4 == 0 {
            locks
                .transaction(from.lock(), async |from, conn| from.save(conn).await)
                .await
                .unwrap();
        }
        locks
            .transaction(lock_all((from, to)), async |(from, to), conn| {
                from.give(to, amount, conn).await
            })
            .await
            .unwrap();
    })
    .await;
    db.assert_idle(&locks).await;
}

/// Each pair is locked in both orders, many times at once. One misplaced lock would be a deadlock.
#[server_test]
async fn sets_in_any_order_do_not_deadlock(db: &Db) {
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
    concurrently(10, async |thread| {
        let conn = &mut db.conn().await;
        for turn in 0..40 {
            let (one, other) = (names[thread % 5], names[(thread + turn) % 5]);
            let set = if turn % 2 == 0 {
                [one, other]
            } else {
                [other, one]
            };
            let run = lock_all(set)
                .run(conn, async |_, _| Ok::<_, LockError>(()))
                .await;
            run.unwrap();
        }
    })
    .await;
}

/// The session that waits for the lock that was acquired last gets it first.
#[server_test]
async fn locks_of_a_set_are_released_in_reverse(db: &Db) {
    let names = &["a", "b", "c"].map(LockName::named);
    let (locks, proxy) = &db.locks_through_proxy(1).await;
    let order = &Mutex::new(Vec::new());
    thread::scope(async |scope| {
        let waiting = locks
            .run(lock_all(names.each_ref()), async |_, _| {
                for name in names {
                    scope.spawn(async move || {
                        let noted = || {
                            order.lock().unwrap().push(name);
                            Ok::<_, LockError>(())
                        };
                        let conn = &mut db.conn().await;
                        name.lock().run(conn, async |_, _| noted()).await.unwrap();
                    });
                }
                db.wait_until_sessions_wait(3).await;
                // Leaves time between the releases to observe their order.
                proxy.set_delay(Duration::from_millis(50));
                Ok::<_, LockError>(())
            })
            .await;
        waiting.unwrap();
    })
    .await;
    assert_eq!(*order.lock().unwrap(), [&names[2], &names[1], &names[0]]);
}

#[server_test]
async fn queued_sets_take_no_connection(db: &Db) {
    let names = &["a", "b"].map(LockName::named);
    let locks = &db.locks(3).await;
    let ran = &AtomicUsize::new(0);
    thread::scope(async |scope| {
        let holder = &mut db.conn().await;
        let held = names[1].lock().acquire(holder).await.unwrap();
        for _ in 0..20 {
            scope.spawn(async || {
                let all = lock_all(names.each_ref());
                locks
                    .run(all, async |_, _| {
                        Ok::<_, LockError>(ran.fetch_add(1, SeqCst))
                    })
                    .await
                    .unwrap();
            });
        }
        wait_until_queued(locks, 19).await;
        wait_until("a connection is in use, and no more", async || {
            let pool = locks.pool().state();
            pool.connections - pool.idle_connections == 1
        })
        .await;
        held.release().await.unwrap();
    })
    .await;
    assert_eq!(ran.load(SeqCst), 20);
    db.assert_idle(locks).await;
}

#[server_test]
async fn locks_of_a_set_are_held_and_its_models_reloaded(db: &Db) {
    let (mut one, mut rows) = (
        db.counter(1).await,
        vec![db.counter(2).await, db.counter(3).await],
    );
    db.execute("UPDATE counters SET value = 7").await;
    let job = LockName::named("job");
    let nested = [LockName::named("a"), LockName::named("b")];
    let conn = &mut db.conn().await;
    let session = session_id(conn).await;
    let names: Vec<_> = [one.lock_name(), job.clone()]
        .into_iter()
        .chain(rows.iter().map(Lockable::lock_name))
        .chain(nested.clone())
        .collect();
    let set = ((&mut one, &job), &mut rows[..], Vec::from(nested));
    lock_all(set)
        .run(conn, async |((one, job), rows, _), _| {
            for name in &names {
                assert_eq!(db.holder(name).await, Some(session), "{name}");
            }
            assert_eq!((one.value, rows[0].value, rows[1].value), (7, 7, 7));
            assert_eq!(job, &LockName::named("job"));
            Ok::<_, LockError>(())
        })
        .await
        .unwrap();
    for name in &names {
        db.assert_free(name).await;
    }
    assert_eq!((one.value, rows[0].value), (7, 7));
}

#[server_test]
async fn lock_named_twice_in_a_set_is_acquired_once(db: &Db) {
    let mut first = db.counter(1).await;
    let mut second = first.clone();
    db.execute("UPDATE counters SET value = 7").await;
    let name = first.lock_name();
    let conn = &mut db.conn().await;
    let set = lock_all((&mut first, &name, &mut second));
    let run = set
        .run(conn, async |(first, _, second), conn| {
            assert_eq!((first.value, second.value), (7, 7));
            // The lock was acquired once: one release frees it.
            db.release_raw(conn, &name).await;
            db.assert_free(&name).await;
            db.acquire_raw(conn, &name).await;
            QueryResult::Ok(())
        })
        .await;
    run.unwrap();
    db.assert_free(&name).await;
}

#[server_test]
async fn lock_named_twice_in_a_pooled_set_is_acquired_once(db: &Db) {
    let mut first = db.counter(1).await;
    let mut second = first.clone();
    db.execute("UPDATE counters SET value = 7").await;
    let name = first.lock_name();
    let locks = db.locks(1).await;
    locks
        .run(
            lock_all((&mut first, &name, &mut second)),
            async |(first, _, second), _| {
                assert_eq!((first.value, second.value), (7, 7));
                Ok::<_, LockError>(())
            },
        )
        .await
        .unwrap();
    db.assert_idle(&locks).await;
}

/// With the schema as an explicit namespace and without. The server reports that it is one lock.
#[server_test]
async fn lock_with_two_names_in_a_set_is_acquired_once(db: &Db) {
    let mut counter = db.counter(1).await;
    db.execute("UPDATE counters SET value = 7").await;
    let spelled = counter.lock_name().namespace(&db.schema);
    assert_ne!(spelled, counter.lock_name());
    let conn = &mut db.conn().await;
    for spelled_first in [true, false] {
        counter.value = 0;
        let read = |counter: &mut Counter| {
            assert_eq!(counter.value, 7, "a stale copy");
            Ok::<_, LockError>(())
        };
        if spelled_first {
            lock_all((&spelled, &mut counter))
                .run(conn, async |(_, counter), _| read(counter))
                .await
                .unwrap();
        } else {
            lock_all((&mut counter, &spelled))
                .run(conn, async |(counter, _), _| read(counter))
                .await
                .unwrap();
        }
        db.assert_free(&spelled).await;
    }
}

#[server_test]
async fn model_whose_lock_is_held_is_not_reloaded_by_a_set(db: &Db) {
    let (mut held, mut other) = (db.counter(1).await, db.counter(2).await);
    db.execute("UPDATE counters SET value = 7").await;
    held.with_lock(&mut db.conn().await, async |held, conn| {
        held.value = 99;
        lock_all((&mut *held, &mut other))
            .run(conn, async |(held, other), _| {
                assert_eq!((held.value, other.value), (99, 7));
                Ok::<_, LockError>(())
            })
            .await?;
        let session = session_id(conn).await;
        assert_eq!(
            db.holder(&held.lock_name()).await,
            Some(session),
            "released too often"
        );
        Ok::<_, LockError>(())
    })
    .await
    .unwrap();
    db.assert_free(&held.lock_name()).await;
}

#[server_test]
async fn set_with_one_contended_lock_holds_no_lock_after_the_timeout(db: &Db) {
    let names = ["a", "b", "c"].map(LockName::named);
    let holder = &mut db.conn().await;
    let held = names[1].lock().acquire(holder).await.unwrap();
    let conn = &mut db.conn().await;
    let start = Instant::now();
    let wait = Duration::from_millis(300);
    let request = || lock_all(names.each_ref()).timeout(wait);
    assert_second_contended(request().run(conn, async |_, _| Ok(())).await, &names, wait);
    let run = request().transaction(conn, async |_, _| Ok(())).await;
    assert_second_contended(run, &names, wait);
    assert!(start.elapsed() < Duration::from_secs(5));
    for free in [&names[0], &names[2]] {
        db.assert_free(free).await;
    }
    let set = lock_all(names.each_ref());
    let none = set.try_run(conn, async |_, _| Ok::<_, LockError>(())).await;
    assert!(none.unwrap().is_none());
    held.release().await.unwrap();
    let again = request()
        .try_run(conn, async |_, _| Ok::<_, LockError>(5))
        .await;
    assert_eq!(again.unwrap(), Some(5));
    let again = request()
        .try_transaction(conn, async |_, _| Ok::<_, LockError>(5))
        .await;
    assert_eq!(again.unwrap(), Some(5));
}

#[track_caller]
fn assert_second_contended(run: Result<(), LockError>, names: &[LockName; 3], wait: Duration) {
    let Err(LockError::Timeout { name, waited, .. }) = run else {
        panic!("{run:?}");
    };
    assert_eq!(name, names[1]);
    assert!(waited >= wait, "{waited:?}");
}

#[server_test]
async fn pooled_set_with_one_contended_lock_holds_no_lock_after_the_timeout(db: &Db) {
    let names = ["a", "b", "c"].map(LockName::named);
    let holder = &mut db.conn().await;
    let held = names[1].lock().acquire(holder).await.unwrap();
    let locks = db.locks(1).await;
    let start = Instant::now();
    let wait = Duration::from_millis(300);
    let request = || lock_all(names.each_ref()).timeout(wait);
    assert_second_contended(
        locks.run(request(), async |_, _| Ok(())).await,
        &names,
        wait,
    );
    assert_second_contended(
        locks.transaction(request(), async |_, _| Ok(())).await,
        &names,
        wait,
    );
    assert!(start.elapsed() < Duration::from_secs(5));
    db.assert_free(&names[0]).await;
    db.assert_free(&names[2]).await;
    let none = locks
        .try_run(lock_all(names.each_ref()), async |_, _| {
            Ok::<_, LockError>(())
        })
        .await;
    assert!(none.unwrap().is_none());
    held.release().await.unwrap();
    let again = locks
        .try_transaction(request(), async |_, _| Ok::<_, LockError>(5))
        .await;
    assert_eq!(again.unwrap(), Some(5));
    db.assert_idle(&locks).await;
}

#[server_test]
async fn set_with_a_deleted_row_keeps_no_lock(db: &Db) {
    let (mut stays, mut gone) = (db.counter(1).await, db.counter(2).await);
    db.execute("DELETE FROM counters WHERE id = 2").await;
    let names = [stays.lock_name(), gone.lock_name()];
    let run: Result<(), LockError> = lock_all((&mut stays, &mut gone))
        .run(&mut db.conn().await, async |_, _| panic!("must not run"))
        .await;
    let Err(LockError::RowNotFound { name, .. }) = run else {
        panic!("{run:?}");
    };
    assert_eq!(name, names[1]);
    for name in &names {
        db.assert_free(name).await;
    }
}

#[server_test]
async fn error_in_a_set_rolls_back_and_releases_all(db: &Db) {
    let (mut one, mut other) = (db.counter(1).await, db.counter(2).await);
    let names = [one.lock_name(), other.lock_name()];
    let conn = &mut db.conn().await;
    let run: QueryResult<()> = lock_all((&mut one, &mut other))
        .transaction(conn, async |(one, other), conn| {
            one.value = 5;
            one.save(conn).await?;
            other.value = 5;
            other.save(conn).await?;
            Err(diesel::result::Error::RollbackTransaction)
        })
        .await;
    assert_eq!(run, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!((db.value(1).await, db.value(2).await), (0, 0));
    for name in &names {
        db.assert_free(name).await;
    }
}

#[server_test]
async fn set_inside_open_transaction_is_refused(db: &Db) {
    let names = [LockName::named("a"), LockName::named("b")];
    db.conn()
        .await
        .transaction(async |conn| {
            let run = lock_all(names.each_ref())
                .run(conn, async |_, _| Ok::<_, LockError>(()))
                .await;
            assert!(
                matches!(run, Err(LockError::OpenTransaction { .. })),
                "{run:?}"
            );
            QueryResult::Ok(())
        })
        .await
        .unwrap();
    // Locks that are held around the transaction may be acquired again inside it. One that is not
    // held refuses the whole set.
    let conn = &mut db.conn().await;
    let mut held = names[0].lock().acquire(conn).await.unwrap();
    held.transaction(async |conn| {
        lock_all([&names[0]])
            .run(conn, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap();
        let run = lock_all(names.each_ref())
            .run(conn, async |_, _| Ok::<_, LockError>(()))
            .await;
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        QueryResult::Ok(())
    })
    .await
    .unwrap();
    held.release().await.unwrap();
    for name in &names {
        db.assert_free(name).await;
    }
}

#[server_test]
async fn loss_in_a_set_returns_lost_and_releases_the_rest(db: &Db) {
    let names = ["a", "b", "c"].map(LockName::named);
    let conn = &mut db.conn().await;
    let run = lock_all(names.each_ref())
        .run(conn, async |names, conn| {
            db.release_raw(conn, names[1]).await;
            Ok::<_, LockError>(())
        })
        .await;
    let Err(LockError::Lost {
        name, source: None, ..
    }) = run
    else {
        panic!("{run:?}");
    };
    assert_eq!(name, names[1]);
    for name in &names {
        db.assert_free(name).await;
    }

    let run = lock_all(names.each_ref())
        .run(&mut db.conn().await, async |_, conn| {
            db.kill_session(session_id(conn).await).await;
            Ok::<_, LockError>(())
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
    for name in &names {
        db.wait_until_free(name).await;
    }
}

#[server_test]
async fn empty_set_locks_nothing(db: &Db) {
    let nothing: &mut [Counter] = &mut [];
    let ran = lock_all(nothing)
        .transaction(&mut db.conn().await, async |rows, _| {
            Ok::<_, LockError>(rows.len())
        })
        .await;
    assert_eq!(ran.unwrap(), 0);
}

#[server_test]
async fn scope_of_a_set_is_for_all_its_locks(db: &Db) {
    let mut counter = db.counter(1).await;
    let (plain, job) = (counter.lock_name(), LockName::named("job"));
    let conn = &mut db.conn().await;
    let session = session_id(conn).await;
    lock_all((&mut counter, &job))
        .scope("send")
        .namespace("elsewhere")
        .run(conn, async |_, _| {
            for name in [&plain, &job] {
                db.assert_free(name).await;
                let taken = name.clone().namespace("elsewhere").scope("send");
                assert_eq!(db.holder(&taken).await, Some(session), "{taken}");
            }
            Ok::<_, LockError>(())
        })
        .await
        .unwrap();
}

#[server_test]
async fn set_of_a_hundred_rows_is_locked(db: &Db) {
    let locks = db.locks(1).await;
    let mut rows = Vec::new();
    for id in 0..100 {
        rows.push(db.counter(id).await);
    }
    thread::scope(async |scope| {
        for _ in 0..3 {
            let (locks, mut rows) = (&locks, rows.clone());
            scope.spawn(async move || {
                rows.reverse();
                locks
                    .run(lock_all(&mut rows[..]), async |rows, conn| {
                        for row in rows {
                            row.value += 1;
                            row.save(conn).await?;
                        }
                        QueryResult::Ok(())
                    })
                    .await
                    .unwrap();
            });
        }
    })
    .await;
    lock_all(&mut rows[..])
        .run(&mut db.conn().await, async |rows, _| {
            assert!(rows.iter().all(|row| row.value == 3));
            Ok::<_, LockError>(())
        })
        .await
        .unwrap();
    db.assert_idle(&locks).await;
}

fn two_names() -> [LockName; 2] {
    ["one", "two"].map(LockName::named)
}

/// The six requests use one connection, which is returned once.
#[server_test]
async fn set_is_handed_off_to_requests_for_the_same_locks_in_any_order(db: &Db) {
    let (pool, events) = db.pool(4).await;
    let locks = LockPool::builder().max_handoff_time(Duration::from_secs(600));
    let locks = &locks.build(pool);
    let [one, two] = &two_names();
    thread::scope(async |scope| {
        let guard = locks.acquire(lock_all((one, two))).await.unwrap();
        queue_up(scope, locks, 0..6, |number| {
            async move || {
                let set = match number % 2 {
                    0 => lock_all([one, two]),
                    _ => lock_all([two, one]),
                };
                let run = locks
                    .run(set, async |names, conn| {
                        assert_eq!(names[number % 2], one);
                        let session = Some(session_id(conn).await);
                        assert_eq!([db.holder(one).await, db.holder(two).await], [session; 2]);
                        Ok::<_, LockError>(())
                    })
                    .await;
                run.unwrap();
            }
        })
        .await;
        assert_eq!(events.returned(), 0);
        // The first request was not queued when the server granted the lock to this guard.
        guard.release().await.unwrap();
    })
    .await;
    assert_eq!(events.returned(), 2);
    for name in two_names() {
        db.assert_free(&name).await;
    }
    db.assert_idle(locks).await;
}

#[server_test]
async fn set_does_not_overtake_a_request_for_one_of_its_locks(db: &Db) {
    let locks = &db.locks(4).await;
    let [one, two] = &two_names();
    for single in [one, two] {
        let served = &Mutex::new(Vec::new());
        thread::scope(async |scope| {
            let guard = locks.acquire(lock_all((one, two))).await.unwrap();
            queue_up(scope, locks, 0..3, |number| {
                async move || {
                    let serve = || {
                        served.lock().unwrap().push(number);
                        Ok::<_, LockError>(())
                    };
                    match number {
                        0 => locks
                            .run(single.lock(), async |_, _| serve())
                            .await
                            .unwrap(),
                        _ => locks
                            .run(lock_all((one, two)), async |_, _| serve())
                            .await
                            .unwrap(),
                    }
                }
            })
            .await;
            guard.release().await.unwrap();
        })
        .await;
        assert_eq!(*served.lock().unwrap(), [0, 1, 2], "{single}");
        db.assert_idle(locks).await;
    }
}

/// The closure of the next request runs on another thread.
#[server_test(blocking)]
fn thread_that_handed_off_a_set_times_out_in_the_queue(db: &Db) {
    let locks = &db.locks(2);
    let [one, two] = &two_names();
    let has_started = &Mutex::new(false);
    let may_end = &Mutex::new(());
    thread::scope(|scope| {
        let keep_running = may_end.lock().unwrap();
        let queue_the_next = || {
            queue_up(scope, locks, 0..1, |_| {
                move || {
                    let run = locks.run(lock_all((one, two)), |_, _| {
                        *has_started.lock().unwrap() = true;
                        drop(may_end.lock());
                        Ok::<_, LockError>(())
                    });
                    run.unwrap();
                }
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
