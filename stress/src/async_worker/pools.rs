//! The pools of a runtime.

use std::time::Duration;

use diesel::sql_query;
use diesel_advisory_lock_async::LockSource;
use diesel_async::RunQueryDsl;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use stress_check::history::Event;

use super::Worker;
use crate::cli::WorkerFault;
use crate::server;
use crate::server::asynchronous::Conn;

/// How long a call waits for a connection.
const TIMEOUT: Duration = Duration::from_millis(500);

/// A pool, and its name in the history.
pub(super) struct Named<P> {
    pub(super) name: String,
    pub(super) pool: P,
}

pub(super) struct Pools {
    pub(super) bb8: Named<bb8::Pool<Conn>>,
    pub(super) undersized_bb8: Named<bb8::Pool<Conn>>,
    pub(super) deadpool: Named<deadpool::Pool<Conn>>,
    pub(super) undersized_deadpool: Named<deadpool::Pool<Conn>>,
}

impl Pools {
    pub(super) async fn new(worker: &Worker) -> Self {
        let many = usize::from(worker.options.threads);
        let few = match worker.options.faults.has(WorkerFault::Undersized) {
            true => 1,
            false => many,
        };
        Self {
            bb8: bb8_pool(worker, "bb8", &worker.proxied, many).await,
            undersized_bb8: bb8_pool(worker, "undersized-bb8-direct", &worker.direct, few).await,
            deadpool: deadpool_pool(worker, "deadpool", &worker.proxied, many),
            undersized_deadpool: deadpool_pool(
                worker,
                "undersized-deadpool-direct",
                &worker.direct,
                few,
            ),
        }
    }

    /// Records the locks that the idle connections hold.
    pub(super) async fn drain(&self, worker: &Worker) {
        for pool in [&self.bb8, &self.undersized_bb8] {
            if let Ok(mut conn) = pool.pool.get().await {
                record_held(worker, &pool.name, &mut conn).await;
            }
        }
        for pool in [&self.deadpool, &self.undersized_deadpool] {
            if let Ok(mut conn) = pool.pool.get().await {
                record_held(worker, &pool.name, &mut conn).await;
            }
        }
    }
}

async fn bb8_pool(worker: &Worker, name: &str, url: &str, size: usize) -> Named<bb8::Pool<Conn>> {
    let manager = AsyncDieselConnectionManager::new(url);
    let pool = bb8::Pool::builder()
        .max_size(u32::try_from(size).unwrap_or(1))
        .connection_timeout(TIMEOUT);
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
) -> Named<deadpool::Pool<Conn>> {
    let manager = AsyncDieselConnectionManager::new(url);
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
