//! The pools of a runtime.

use std::time::Duration;

use diesel::sql_query;
use diesel_advisory_lock_async::{LockPool, LockSource};
use diesel_async::RunQueryDsl;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8, deadpool,
};
use stress_check::history::Event;

use super::Worker;
use crate::cli::WorkerFault;
use crate::server;
use crate::server::asynchronous::Conn;

/// How long a call waits for a connection.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long bb8 waits for a connection that it checks: its default.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// A pool, and its name in the history.
pub(super) struct Named<P> {
    pub(super) name: String,
    pub(super) pool: P,
}

/// Connections are not checked when they are handed out, unless by the library: bb8 puts a connection
/// back whose check was cut, which has an answer to come. Its own timeout cuts a check, too, so it is
/// longer than any fault.
pub(super) struct Pools {
    pub(super) bb8: Named<bb8::Pool<Conn>>,
    pub(super) undersized_bb8: Named<bb8::Pool<Conn>>,
    pub(super) deadpool: Named<deadpool::Pool<Conn>>,
    pub(super) undersized_deadpool: Named<deadpool::Pool<Conn>>,
    /// The library checks out the connections of the following pools.
    pub(super) lock_pool: Named<LockPool<bb8::Pool<Conn>>>,
    pub(super) undersized_lock_pool: Named<LockPool<deadpool::Pool<Conn>>>,
    /// Offers a lock to waiters in other processes before each handoff.
    pub(super) fair_lock_pool: Named<LockPool<deadpool::Pool<Conn>>>,
}

impl Pools {
    pub(super) fn new(worker: &Worker) -> Self {
        let many = usize::from(worker.options.threads);
        let few = match worker.options.faults.has(WorkerFault::Undersized) {
            true => 1,
            false => many,
        };
        let (direct, proxied) = (&worker.direct, &worker.proxied);
        Self {
            bb8: bb8_pool(worker, "bb8", proxied, many, false),
            undersized_bb8: bb8_pool(worker, "undersized-bb8-direct", direct, few, false),
            deadpool: deadpool_pool(worker, "deadpool", proxied, many, false),
            undersized_deadpool: deadpool_pool(
                worker,
                "undersized-deadpool-direct",
                direct,
                few,
                false,
            ),
            lock_pool: bb8_pool(worker, "lock-pool-bb8", proxied, many, true).map(LockPool::new),
            undersized_lock_pool: deadpool_pool(
                worker,
                "undersized-lock-pool-deadpool-direct",
                direct,
                few,
                true,
            )
            .map(LockPool::new),
            fair_lock_pool: deadpool_pool(worker, "fair-lock-pool-deadpool", proxied, many, true)
                .map(|pool| LockPool::builder().max_handoffs(0).build(pool)),
        }
    }

    /// Records the locks that the idle connections hold.
    pub(super) async fn drain(&self, worker: &Worker) {
        let of_bb8 = [
            (&self.bb8.name, &self.bb8.pool),
            (&self.undersized_bb8.name, &self.undersized_bb8.pool),
            (&self.lock_pool.name, self.lock_pool.pool.pool()),
        ];
        for (name, pool) in of_bb8 {
            let count = pool.state().idle_connections;
            let mut all = Vec::new();
            for _ in 0..count {
                all.extend(pool.get().await.ok());
            }
            for conn in &mut all {
                record_held(worker, name, conn).await;
            }
        }
        let of_deadpool = [
            (&self.deadpool.name, &self.deadpool.pool),
            (
                &self.undersized_deadpool.name,
                &self.undersized_deadpool.pool,
            ),
            (
                &self.undersized_lock_pool.name,
                self.undersized_lock_pool.pool.pool(),
            ),
            (&self.fair_lock_pool.name, self.fair_lock_pool.pool.pool()),
        ];
        for (name, pool) in of_deadpool {
            let count = pool.status().available;
            let mut all = Vec::new();
            for _ in 0..count {
                all.extend(pool.get().await.ok());
            }
            for conn in &mut all {
                record_held(worker, name, conn).await;
            }
        }
    }
}

impl<P> Named<P> {
    fn map<T>(self, pool: impl FnOnce(P) -> T) -> Named<T> {
        Named {
            name: self.name,
            pool: pool(self.pool),
        }
    }
}

fn bb8_pool(
    worker: &Worker,
    name: &str,
    url: &str,
    size: usize,
    checks: bool,
) -> Named<bb8::Pool<Conn>> {
    let manager = AsyncDieselConnectionManager::new(url);
    let pool = bb8::Pool::builder()
        .max_size(u32::try_from(size).unwrap_or(1))
        .test_on_check_out(checks)
        .connection_timeout(if checks { CHECK_TIMEOUT } else { TIMEOUT });
    Named {
        name: format!("{}{name}", worker.prefix),
        pool: pool.build_unchecked(manager),
    }
}

fn deadpool_pool(
    worker: &Worker,
    name: &str,
    url: &str,
    size: usize,
    checks: bool,
) -> Named<deadpool::Pool<Conn>> {
    let mut config = ManagerConfig::default();
    if !checks {
        config.recycling_method = RecyclingMethod::Fast;
    }
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    let pool = deadpool::Pool::builder(manager)
        .max_size(size)
        .runtime(::deadpool::Runtime::Tokio1)
        .wait_timeout(Some(TIMEOUT))
        .create_timeout(Some(TIMEOUT))
        .recycle_timeout(Some(TIMEOUT));
    let pool = pool.build();
    Named {
        name: format!("{}{name}", worker.prefix),
        pool: pool.unwrap_or_else(|error| panic!("no pool: {error}")),
    }
}

/// Records the locks that an idle connection holds. A connection that does not answer is skipped.
pub(super) async fn record_held<S>(worker: &Worker, source: &str, conn: &mut S)
where
    S: LockSource<Connection = Conn>,
{
    let held = sql_query(server::held_by_sql()).get_result(conn.connection());
    let held: diesel::QueryResult<server::HeldBy> = held.await;
    if let Ok(server::HeldBy { session, names }) = held {
        worker.history.write(&Event::Drained {
            source,
            session: session.unsigned_abs(),
            names: if names.is_empty() { "-" } else { &names },
        });
    }
}
