//! Futures that are dropped: no lock remains, no session waits, and the connection is broken.

use std::future::{Future, pending};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use diesel::IntoSql;
use diesel::sql_types::BigInt;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8};
use diesel_async::{
    AnsiTransactionManager, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use server_test::server_test;

use super::support::{Counter, Db, poll_times};
use crate::server::{self, Conn};

fn is_broken(conn: &mut Conn) -> bool {
    AnsiTransactionManager::is_broken_transaction_manager(conn)
}

/// Drops the future of `call` after each of its first polls, on a new connection each time. Stops
/// when the call returns, or after `limit` polls.
pub(super) async fn cut_everywhere(
    db: &Db,
    name: &LockName,
    limit: usize,
    call: impl AsyncFn(&mut Conn),
) {
    for count in 1..=limit {
        let mut conn = db.conn().await;
        let session = server::session_id(&mut conn).await;
        let cut = poll_times(call(&mut conn), count).await;
        if cut.is_some() {
            assert!(count > 1, "it returned at its first poll");
            return;
        }
        assert!(is_broken(&mut conn), "after {count} polls");
        let took = db.wait_until_free(name).await;
        assert!(took < Duration::from_secs(3), "free after {took:?}");
        // No session is left that a server might grant the lock to.
        let since = Instant::now();
        let mut other = db.conn().await;
        while server::has_session(&mut other, session).await {
            assert!(
                since.elapsed() < Duration::from_secs(10),
                "the session lives"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[server_test]
fn form_that_is_cut_at_any_poll_leaves_nothing_locked(db: &Db) {
    db.run(async {
        db.counter(1).await;
        let name = Counter::stale(1).lock_name();
        let many = 200;
        cut_everywhere(db, &name, many, async |conn| {
            let ran = Counter::stale(1).with_lock(conn, Counter::add_one).await;
            ran.unwrap();
        })
        .await;
        cut_everywhere(db, &name, many, async |conn| {
            let mut counter = Counter::stale(1);
            counter
                .lock()
                .transaction(conn, Counter::add_one)
                .await
                .unwrap();
        })
        .await;
        cut_everywhere(db, &name, many, async |conn| {
            let mut counter = Counter::stale(1);
            let held = counter.lock().acquire(conn).await.unwrap();
            held.release().await.unwrap();
        })
        .await;
        cut_everywhere(db, &name, many, async |conn| {
            let (mut one, other) = (Counter::stale(1), LockName::named("other"));
            let set = lock_all((&mut one, &other));
            let ran = set.transaction(conn, async |(one, _), conn| one.add_one(conn).await);
            ran.await.unwrap();
        })
        .await;
    });
}

#[server_test]
fn wait_that_is_cut_leaves_no_session_that_waits(db: &Db) {
    db.run(async {
        let name = LockName::named("job");
        let mut holder = db.conn().await;
        let held = name.lock().acquire(&mut holder).await.unwrap();
        let mut conn = db.conn().await;
        let wait = name.lock().acquire(&mut conn);
        let cut = async {
            tokio::select! {
                _ = wait => panic!("it is held"),
                () = db.wait_until_sessions_wait(1) => {}
            }
        };
        cut.await;
        db.wait_until_sessions_wait(0).await;
        assert!(is_broken(&mut conn));
        held.release().await.unwrap();
        db.assert_free(&name).await;
    });
}

#[server_test]
fn tokio_timeout_around_a_call_is_safe(db: &Db) {
    db.run(async {
        let name = LockName::named("job");
        let mut conn = db.conn().await;
        let body = name.lock().run(&mut conn, async |_, conn| {
            conn.batch_execute(server::SLEEP).await?;
            diesel::QueryResult::Ok(())
        });
        let cut = tokio::time::timeout(Duration::from_millis(100), body).await;
        cut.unwrap_err();
        let took = db.wait_until_free(&name).await;
        assert!(took < Duration::from_secs(2), "free after {took:?}");
        assert!(is_broken(&mut conn));
    });
}

#[server_test]
fn aborted_task_leaves_nothing_locked(db: &Db) {
    db.run(async {
        let name = LockName::named("job");
        let mut conn = db.conn().await;
        let lock = name.lock();
        let task = tokio::spawn(async move {
            let ran = lock.run(&mut conn, async |_, _| {
                pending::<()>().await;
                Ok::<_, LockError>(())
            });
            ran.await
        });
        while db.holder(&name).await.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        db.wait_until_free(&name).await;
    });
}

#[server_test]
fn panicking_body_leaves_nothing_locked(db: &Db) {
    db.run(async {
        let name = LockName::named("job");
        let mut conn = db.conn().await;
        let lock = name.lock();
        let task = tokio::spawn(async move {
            let ran = lock.transaction(&mut conn, async |_, _| -> Result<(), LockError> {
                std::panic::resume_unwind(Box::new("on purpose"))
            });
            ran.await
        });
        assert!(task.await.unwrap_err().is_panic());
        db.wait_until_free(&name).await;
    });
}

#[server_test]
fn dropped_guard_frees_the_lock(db: &Db) {
    db.run(async {
        let name = LockName::named("job");
        let mut conn = db.conn().await;
        drop(name.lock().acquire(&mut conn).await.unwrap());
        db.wait_until_free(&name).await;
        assert!(is_broken(&mut conn));
    });
}

/// A guard may outlive the code of its runtime.
#[server_test]
fn guard_dropped_outside_of_a_runtime_frees_the_lock(db: &Db) {
    let name = LockName::named("job");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut conn = runtime.block_on(db.conn());
    let held = runtime.block_on(name.lock().acquire(&mut conn)).unwrap();
    drop(held);
    db.run(db.wait_until_free(&name));
    drop(runtime);
}

#[server_test]
fn shutdown_of_the_runtime_frees_the_lock(db: &Db) {
    for threads in [1, 2] {
        let name = LockName::named("job");
        let mut runtime = match threads {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.enable_all().build().unwrap();
        let mut conn = runtime.block_on(db.conn());
        let lock = name.lock();
        let task = runtime.spawn(async move {
            let ran = lock.run(&mut conn, async |_, _| {
                pending::<()>().await;
                Ok::<_, LockError>(())
            });
            ran.await
        });
        runtime.block_on(async {
            while db.holder(&name).await.is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        drop(runtime);
        drop(task);
        db.run(db.wait_until_free(&name));
    }
}

/// A task has a budget of polls. When it is used up, no statement is written.
#[server_test]
fn future_dropped_without_budget_frees_the_lock(db: &Db) {
    let name = LockName::named("job");
    db.run(async {
        let mut conn = db.conn().await;
        let held = name.lock().acquire(&mut conn).await.unwrap();
        let mut held = Some(held);
        std::future::poll_fn(|context| {
            while tokio::task::coop::has_budget_remaining() {
                let mut unit = pin!(tokio::task::consume_budget());
                let _ = unit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            let _ = &context;
            drop(held.take());
            std::task::Poll::Ready(())
        })
        .await;
        db.wait_until_free(&name).await;
    });
}

/// Numbers that look random, the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What became of calls that increment a counter, one time each.
#[derive(Default)]
struct Increments {
    done: i64,
    cut: i64,
}

const TASKS: u64 = 8;
const CUTS: i64 = 1_000;

/// Increments counters on connections of a pool, and drops many of the calls at random moments.
async fn cut_at_random(pool: &bb8::Pool<Conn>, seed: u64) -> Increments {
    let mut random = Random(seed);
    let mut increments = Increments::default();
    while increments.cut < CUTS / i64::try_from(TASKS).unwrap() {
        let mut conn = pool.get().await.unwrap();
        // A connection with an answer to come would give a wrong one.
        let number = i64::try_from(random.below(1_000_000)).unwrap();
        let answer = diesel::select(number.into_sql::<BigInt>()).get_result(&mut conn);
        assert_eq!(answer.await, Ok(number));
        let mut counter = Counter::stale(1 + i64::try_from(random.below(2)).unwrap());
        let form = random.below(4);
        let call = async {
            match form {
                0 => counter
                    .with_lock(&mut conn, Counter::add_one)
                    .await
                    .map(drop),
                1 => {
                    let lock = counter.lock().timeout(Duration::from_secs(30));
                    lock.transaction(&mut conn, Counter::add_one)
                        .await
                        .map(drop)
                }
                2 => {
                    let job = LockName::named("job");
                    let set = lock_all((&job, &mut counter));
                    let ran = set.run(&mut conn, async |(_, it), conn| it.add_one(conn).await);
                    ran.await.map(drop)
                }
                _ => {
                    let mut held = counter.lock().acquire(&mut conn).await?;
                    counter.add_one(&mut held).await?;
                    Ok(held.release().await?)
                }
            }
        };
        // A quarter of the calls is not cut, however slow the machine is.
        let patience = match random.below(4) {
            0 => Duration::from_secs(60),
            _ => Duration::from_micros(random.below(20_000)),
        };
        match tokio::time::timeout(patience, call).await {
            Ok(ran) => {
                ran.unwrap();
                increments.done += 1;
            }
            Err(_) => increments.cut += 1,
        }
    }
    increments
}

#[server_test]
fn random_cuts_under_load_lose_nothing_and_leave_nothing_locked(db: &Db) {
    db.run(async {
        db.counter(1).await;
        db.counter(2).await;
        let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
        let pool = bb8::Pool::builder()
            .max_size(6)
            .build(manager)
            .await
            .unwrap();
        let tasks = (0..TASKS).map(|seed| cut_at_random(&pool, seed));
        let all = futures_util::future::join_all(tasks).await;
        let done: i64 = all.iter().map(|it| it.done).sum();
        let cut: i64 = all.iter().map(|it| it.cut).sum();
        for id in 1..=2 {
            db.wait_until_free(&Counter::stale(id).lock_name()).await;
        }
        db.wait_until_free(&LockName::named("job")).await;
        let value = db.value(1).await + db.value(2).await;
        // A call that was cut may have done its work.
        assert!(
            (done..=done + cut).contains(&value),
            "{done} done, {cut} cut, value {value}"
        );
        assert!(cut >= CUTS && done > 0, "{done} done, {cut} cut");
    });
}
