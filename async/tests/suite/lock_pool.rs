//! `LockPool` over deadpool and bb8, and its futures that are dropped: each case runs on both.

use std::cell::Cell;
use std::future::pending;

use std::time::{Duration, Instant};

use diesel::sql_types::BigInt;
use diesel::{IntoSql, QueryResult};
use diesel_advisory_lock_async::{ConnectionPool, prelude::*};
use diesel_async::RunQueryDsl;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use futures_util::future::join_all;
use server_test::server_test;

use super::support::{Counter, Db, poll_times};
use crate::server::{self, Conn};

fn deadpool_of(db: &Db, size: usize) -> LockPool<deadpool::Pool<Conn>> {
    let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
    let pool = deadpool::Pool::builder(manager).max_size(size);
    LockPool::new(pool.build().unwrap())
}

async fn bb8_of(db: &Db, size: u32) -> LockPool<bb8::Pool<Conn>> {
    let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
    let pool = bb8::Pool::builder().max_size(size).build(manager).await;
    LockPool::new(pool.unwrap())
}

/// Makes a test of each case, on a pool of `$size` connections.
macro_rules! cases {
    ($($(#[$doc:meta])* fn $name:ident($db:ident, $locks:ident, $size:literal) $case:block)*) => {$(
        $(#[$doc])*
        #[server_test]
        fn $name(db: &Db) {
            async fn case<P: ConnectionPool<Connection = Conn>>($db: &Db, $locks: LockPool<P>) {
                $case;
                let state = $locks.state();
                assert_eq!((state.names, state.waiting), (0, 0), "what is left in the queue");
            }
            db.run(async {
                case(db, deadpool_of(db, $size)).await;
                db.clear().await;
                case(db, bb8_of(db, $size).await).await;
            });
        }
    )*};
}

/// Waits until `count` requests wait in the queue.
async fn wait_until_queued(locks: &LockPool<impl ConnectionPool>, count: usize) {
    let since = Instant::now();
    while locks.state().waiting != count {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "no {count} requests wait"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The median time of a lock that no other request waits for, one every 3 milliseconds.
async fn median_of_queries<P: ConnectionPool<Connection = Conn>>(
    locks: &LockPool<P>,
    is_done: impl Fn() -> bool,
) -> Duration {
    let mut times = Vec::new();
    while times.len() < 100 && !is_done() {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let since = Instant::now();
        let held = locks.acquire(LockName::named("unrelated").lock()).await;
        held.unwrap().release().await.unwrap();
        times.push(since.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

cases! {
    fn forms_of_a_lock_pool(db, locks, 1) {
        let mut counter = db.counter(1).await;
        assert_eq!(locks.run(counter.lock(), Counter::add_one).await, Ok(1));
        assert_eq!(locks.try_run(counter.lock(), Counter::add_one).await, Ok(Some(2)));
        assert_eq!(locks.transaction(counter.lock(), Counter::add_one).await, Ok(3));
        assert_eq!(locks.try_transaction(counter.lock(), Counter::add_one).await, Ok(Some(4)));
        let mut held = locks.acquire(counter.lock()).await.unwrap();
        assert_eq!(counter.add_one(&mut held).await, Ok(5));
        held.verify().await.unwrap();
        held.release().await.unwrap();
        let held = locks.try_acquire(counter.lock().scope("other")).await.unwrap().unwrap();
        assert_eq!(counter.value, 5);
        held.release().await.unwrap();
        let mut other = db.counter(2).await;
        let set = lock_all((&mut counter, &mut other));
        let ran = locks.transaction(set, async |(one, other), conn| {
            one.add_one(conn).await?;
            other.add_one(conn).await
        });
        assert_eq!(ran.await, Ok(1));
        assert_eq!((db.value(1).await, db.value(2).await), (6, 1));
        db.assert_free(&counter.lock_name()).await;
    }

    fn increments_through_a_lock_pool_exclude_each_other(db, locks, 4) {
        db.counter(1).await;
        let increments = (0..200).map(|number| {
            let locks = &locks;
            async move {
                let mut counter = Counter::stale(1);
                match number % 3 {
                    0 => locks.run(counter.lock(), Counter::add_one).await.unwrap(),
                    1 => locks.transaction(counter.lock(), Counter::add_one).await.unwrap(),
                    _ => {
                        let mut held = locks.acquire(counter.lock()).await.unwrap();
                        let value = counter.add_one(&mut held).await.unwrap();
                        held.release().await.unwrap();
                        value
                    }
                }
            }
        });
        let mut values = join_all(increments).await;
        values.sort_unstable();
        assert_eq!(values, (1..=200).collect::<Vec<_>>());
        assert_eq!(db.value(1).await, 200);
    }

    /// Both calls are made in one body, but neither of them in the other's.
    fn calls_side_by_side_in_one_body_wait_for_each_other(_db, locks, 3) {
        let (outer, inner) = (LockName::named("outer"), LockName::named("inner"));
        let ran = locks.run(outer.lock(), async |_, _| {
            let first = locks.run(inner.lock(), async |_, _| {
                wait_until_queued(&locks, 1).await;
                QueryResult::Ok(())
            });
            let second = async {
                while locks.state().names < 2 {
                    tokio::task::yield_now().await;
                }
                locks.run(inner.lock(), async |_, _| QueryResult::Ok(())).await
            };
            let (first, second) = tokio::join!(first, second);
            first.and(second)
        });
        ran.await.unwrap();
    }

    fn try_form_does_not_wait_for_a_connection(_db, locks, 1) {
        let held = locks.acquire(LockName::named("one").lock()).await.unwrap();
        let since = Instant::now();
        let error = locks.try_acquire(LockName::named("other").lock()).await.unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
        assert!(since.elapsed() < Duration::from_secs(1));
        let wait = LockName::named("other").lock().timeout(Duration::from_millis(100));
        let error = locks.acquire(wait).await.unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
        held.release().await.unwrap();
        let held = locks.try_acquire(LockName::named("other").lock()).await.unwrap();
        held.expect("the connection is idle").release().await.unwrap();
    }

    fn request_that_is_dropped_leaves_the_queue(db, locks, 2) {
        let name = LockName::named("job");
        let held = locks.acquire(name.lock()).await.unwrap();
        assert!(poll_times(locks.acquire(name.lock()), 1).await.is_none());
        assert_eq!(locks.state().waiting, 0);
        held.release().await.unwrap();
        db.assert_free(&name).await;
    }

    /// The waiter has been granted the lock with its connection, and is dropped before it is polled.
    fn handoff_to_a_request_that_is_dropped_is_not_lost(db, locks, 2) {
        let name = LockName::named("job");
        let held = locks.acquire(name.lock()).await.unwrap();
        let mut granted = Box::pin(locks.acquire(name.lock()));
        assert!(poll_times(granted.as_mut(), 1).await.is_none());
        let last = locks.run(name.lock(), async |_, conn| {
            let session = server::session_id(conn).await;
            assert_eq!(db.holder(&name).await, Some(session), "the holder of {name}");
            QueryResult::Ok(())
        });
        let drop_it = async {
            wait_until_queued(&locks, 2).await;
            held.release().await.unwrap();
            drop(granted);
        };
        let (last, ()) = tokio::join!(last, drop_it);
        last.unwrap();
        db.wait_until_free(&name).await;
    }

    fn dropped_guard_leaves_the_lock_to_the_next_request(db, locks, 1) {
        let name = LockName::named("job");
        let held = locks.acquire(name.lock()).await.unwrap();
        let next = locks.run(name.lock(), async |_, _| QueryResult::Ok(()));
        let drop_it = async {
            wait_until_queued(&locks, 1).await;
            drop(held);
        };
        let (next, ()) = tokio::join!(next, drop_it);
        next.unwrap();
        db.wait_until_free(&name).await;
    }

    fn call_that_is_cut_at_any_poll_leaves_nothing_locked(db, locks, 2) {
        db.counter(1).await;
        let name = Counter::stale(1).lock_name();
        for form in 0..4 {
            for polls in 1.. {
                let call = async {
                    let mut counter = Counter::stale(1);
                    let other = LockName::named("other");
                    match form {
                        0 => locks.run(counter.lock(), Counter::add_one).await.map(drop),
                        1 => locks.transaction(counter.lock(), Counter::add_one).await.map(drop),
                        2 => {
                            let held = locks.acquire(counter.lock()).await?;
                            Ok(held.release().await?)
                        }
                        _ => {
                            let set = lock_all((&mut counter, &other));
                            let ran = locks.run(set, async |(it, _), conn| it.add_one(conn).await);
                            ran.await.map(drop)
                        }
                    }
                };
                if let Some(ran) = poll_times(call, polls).await {
                    ran.unwrap();
                    break;
                }
                let took = db.wait_until_free(&name).await;
                assert!(took < Duration::from_secs(3), "free after {took:?}");
                assert_eq!(locks.state().names, 0);
            }
        }
    }

    /// The connection has rows to come that its pool would not read.
    fn body_that_is_cut_within_a_large_result_leaves_nothing_locked(db, locks, 1) {
        use futures_util::StreamExt;

        let name = LockName::named("job");
        let body = locks.run(name.lock(), async |_, conn| {
            let rows = diesel::sql_query(server::MANY_ROWS);
            let mut rows = rows.load_stream::<server::Row>(conn).await?;
            rows.next().await.expect("a row")?;
            pending::<QueryResult<()>>().await
        });
        tokio::time::timeout(Duration::from_millis(500), body).await.unwrap_err();
        let took = db.wait_until_free(&name).await;
        assert!(took < Duration::from_secs(3), "free after {took:?}");
        locks.run(name.lock(), async |_, _| QueryResult::Ok(())).await.unwrap();
    }

    /// With a plain pool the query would wait for a connection behind the 64 requests.
    fn hot_lock_does_not_delay_an_unrelated_query(db, locks, 4) {
        db.counter(1).await;
        let idle = median_of_queries(&locks, || false).await;
        let is_done = Cell::new(false);
        let hot = async {
            let calls = (0..64).map(async |_| {
                for _ in 0..10 {
                    let lock = LockName::named("job").lock();
                    let ran = locks.run(lock, async |_, _| {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        QueryResult::Ok(())
                    });
                    ran.await.unwrap();
                }
            });
            join_all(calls).await;
            is_done.set(true);
        };
        let queries = median_of_queries(&locks, || is_done.get());
        let ((), busy) = tokio::join!(hot, queries);
        println!("the median of an unrelated query: idle {idle:?}, busy {busy:?}");
        // Without the queue it would wait for dozens of these bodies.
        assert!(busy < 2 * idle + Duration::from_millis(10), "idle {idle:?}, busy {busy:?}");
    }

    fn random_cuts_through_a_lock_pool_lose_nothing(db, locks, 3) {
        db.counter(1).await;
        let tasks = (0..8_u64).map(|seed| {
            let locks = locks.clone();
            async move {
                let mut random = super::cancellation::Random(seed);
                let (mut done, mut cut) = (0_i64, 0_i64);
                while cut < 125 {
                    let mut counter = Counter::stale(1);
                    let number = i64::try_from(random.below(1_000_000)).unwrap();
                    let is_transaction = random.below(2) == 0;
                    let patience = match random.below(4) {
                        0 => Duration::from_secs(60),
                        _ => Duration::from_micros(random.below(20_000)),
                    };
                    let body = async |counter: &mut Counter, conn: &mut Conn| {
                        // A connection with an answer to come would give a wrong one.
                        let answer = diesel::select(number.into_sql::<BigInt>()).get_result(conn);
                        assert_eq!(answer.await, Ok(number));
                        counter.add_one(conn).await
                    };
                    let call = async {
                        match is_transaction {
                            true => locks.transaction(counter.lock(), body).await,
                            false => locks.run(counter.lock(), body).await,
                        }
                    };
                    match tokio::time::timeout(patience, call).await {
                        Ok(ran) => {
                            ran.unwrap();
                            done += 1;
                        }
                        Err(_) => cut += 1,
                    }
                }
                (done, cut)
            }
        });
        let all = join_all(tasks.map(tokio::spawn)).await;
        let all: Vec<_> = all.into_iter().map(|it| it.unwrap()).collect();
        let (done, cut): (i64, i64) = (all.iter().map(|it| it.0).sum(), all.iter().map(|it| it.1).sum());
        db.wait_until_free(&Counter::stale(1).lock_name()).await;
        let value = db.value(1).await;
        // A call that was cut may have done its work.
        assert!((done..=done + cut).contains(&value), "{done} done, {cut} cut, value {value}");
        assert!(cut >= 1_000 && done > 0, "{done} done, {cut} cut");
    }
}
