//! The pools of a worker, and its checks of connections.

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::sql_types::{Text, Unsigned};
use diesel_advisory_lock::LockPool;
use stress_check::history::{Event, Writer};

use crate::cli::{WorkerFault, WorkerOptions};
use crate::model::{SCHEMA, Target};
use crate::work::DEFAULTS;

pub(crate) type Pool = diesel::r2d2::Pool<ConnectionManager<MysqlConnection>>;
pub(crate) type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

/// A pool, and its name in the history.
pub(super) struct Named<P> {
    pub(super) name: &'static str,
    pub(super) pool: P,
}

pub(super) struct Pools {
    /// As many connections as threads, through the proxy. A thread checks one out for each call.
    pub(super) full_size: Named<Pool>,
    /// One connection for all threads, unless that fault is disabled.
    pub(super) undersized: Named<Pool>,
    /// The library checks out the connections of the following pools.
    pub(super) lock_pool: Named<LockPool<MysqlConnection>>,
    pub(super) undersized_lock_pool: Named<LockPool<MysqlConnection>>,
    /// Offers a lock to waiters in other processes before each handoff.
    pub(super) fair_lock_pool: Named<LockPool<MysqlConnection>>,
}

impl Pools {
    pub(super) fn new(options: &WorkerOptions) -> Self {
        let threads = options.threads.into();
        let size = if options.faults.has(WorkerFault::Undersized) {
            1
        } else {
            threads
        };
        let full_size = |name| Named::new(name, &options.proxied, threads);
        let undersized = |name| Named::new(name, &options.direct, size);
        let fair = |pool| LockPool::builder().max_handoffs(0).build(pool);
        Self {
            full_size: full_size("pooled"),
            undersized: undersized("undersized-direct"),
            lock_pool: full_size("lock-pool").map(LockPool::new),
            undersized_lock_pool: undersized("undersized-lock-pool-direct").map(LockPool::new),
            fair_lock_pool: full_size("fair-lock-pool").map(fair),
        }
    }

    /// Records the locks that the idle connections hold.
    pub(super) fn drain(&self, history: &Writer) {
        self.full_size.drain(history);
        self.undersized.drain(history);
        for locks in [
            &self.lock_pool,
            &self.undersized_lock_pool,
            &self.fair_lock_pool,
        ] {
            let pool = locks.pool.pool().clone();
            let name = locks.name;
            Named { name, pool }.drain(history);
        }
    }
}

impl Named<Pool> {
    fn new(name: &'static str, url: &str, size: u32) -> Self {
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_millis(500))
            .build_unchecked(ConnectionManager::new(url));
        Self { name, pool }
    }

    fn map<P>(self, pool: impl FnOnce(Pool) -> P) -> Named<P> {
        Named {
            name: self.name,
            pool: pool(self.pool),
        }
    }

    fn drain(&self, history: &Writer) {
        let size = self.pool.max_size();
        let all: Vec<_> = (0..size).filter_map(|_| self.pool.get().ok()).collect();
        for mut conn in all {
            record_held(self.name, &mut conn, history);
        }
    }
}

/// Records the locks that an idle connection holds. A connection that does not answer is skipped.
pub(super) fn record_held(source: &str, conn: &mut MysqlConnection, history: &Writer) {
    if let Ok((session, names)) = held_by(conn) {
        let names = if names.is_empty() { "-" } else { &names };
        history.write(&Event::Drained {
            source,
            session,
            names,
        });
    }
}

#[derive(QueryableByName)]
struct HeldBy {
    #[diesel(sql_type = Unsigned<diesel::sql_types::BigInt>)]
    session: u64,
    #[diesel(sql_type = Text)]
    names: String,
}

/// A session's number, and the locks that it holds.
fn held_by(conn: &mut MysqlConnection) -> QueryResult<(u64, String)> {
    let columns: Vec<_> = Target::all()
        .map(|target| {
            let name = target.name();
            let full_name = name.full_name(SCHEMA);
            format!("IF(IS_USED_LOCK('{full_name}') <=> CONNECTION_ID(), '{name}', NULL)")
        })
        .collect();
    let query = format!(
        "SELECT CAST(CONNECTION_ID() AS UNSIGNED) AS session, CONCAT_WS('+', {}) AS names",
        columns.join(", ")
    );
    let held: HeldBy = diesel::sql_query(query).get_result(conn)?;
    Ok((held.session, held.names))
}

/// Restores the settings of a session. A connection on which that fails is marked as broken.
pub(super) fn restore_settings(conn: &mut MysqlConnection) {
    // Faults may interrupt more than one statement.
    let done = (0..3).any(|_| conn.batch_execute(DEFAULTS).is_ok());
    if !done {
        AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
    }
}

/// Whether a connection is broken.
pub(super) fn is_broken(conn: &mut MysqlConnection) -> bool {
    AnsiTransactionManager::is_broken_transaction_manager(conn)
}
