//! The pools of a worker, and its checks of connections.

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_advisory_lock::LockPool;
use stress_check::history::{Event, Writer};

use crate::cli::{WorkerFault, WorkerOptions};
use crate::server::{self, Conn};

pub(crate) type Pool = diesel::r2d2::Pool<ConnectionManager<Conn>>;
pub(crate) type Pooled = PooledConnection<ConnectionManager<Conn>>;

/// Where a worker's connections lead.
pub(super) struct Endpoint {
    url: String,
    /// What the names of its sources in the history start with.
    prefix: &'static str,
}

impl Endpoint {
    pub(super) fn new(url: &str, worker: u32) -> Self {
        let (url, prefix) = server::sessions_of_worker(url, worker);
        Self { url, prefix }
    }

    pub(super) fn connect(&self) -> Option<Conn> {
        Conn::establish(&self.url).ok()
    }

    /// The name of a source in the history.
    pub(super) fn source(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn pool(&self, name: &str, size: u32) -> Named<Pool> {
        Named::new(self.source(name), &self.url, size)
    }
}

/// A pool, and its name in the history.
pub(super) struct Named<P> {
    pub(super) name: String,
    pub(super) pool: P,
}

pub(super) struct Pools {
    /// As many connections as threads, through the proxy. A thread checks one out for each call.
    pub(super) full_size: Named<Pool>,
    /// One connection for all threads, unless that fault is disabled.
    pub(super) undersized: Named<Pool>,
    /// The library checks out the connections of the following pools.
    pub(super) lock_pool: Named<LockPool<Conn>>,
    pub(super) undersized_lock_pool: Named<LockPool<Conn>>,
    /// Offers a lock to waiters in other processes before each handoff.
    pub(super) fair_lock_pool: Named<LockPool<Conn>>,
}

impl Pools {
    pub(super) fn new(options: &WorkerOptions, direct: &Endpoint, proxied: &Endpoint) -> Self {
        let threads = options.threads.into();
        let size = if options.faults.has(WorkerFault::Undersized) {
            1
        } else {
            threads
        };
        let full_size = |name| proxied.pool(name, threads);
        let undersized = |name| direct.pool(name, size);
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
            let name = locks.name.clone();
            Named { name, pool }.drain(history);
        }
    }
}

impl Named<Pool> {
    fn new(name: String, url: &str, size: u32) -> Self {
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
            record_held(&self.name, &mut conn, history);
        }
    }
}

/// Records the locks that an idle connection holds. A connection that does not answer is skipped.
pub(super) fn record_held(source: &str, conn: &mut Conn, history: &Writer) {
    if let Ok((session, names)) = server::held_by(conn) {
        let names = if names.is_empty() { "-" } else { &names };
        history.write(&Event::Drained {
            source,
            session: session.unsigned_abs(),
            names,
        });
    }
}

/// Restores the settings of a session. A connection on which that fails is marked as broken.
pub(super) fn restore_settings(conn: &mut Conn) {
    // Faults may interrupt more than one statement.
    let done = (0..3).any(|_| conn.batch_execute(server::DEFAULTS).is_ok());
    if !done {
        AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
    }
}

/// Whether a connection is broken.
pub(super) fn is_broken(conn: &mut Conn) -> bool {
    AnsiTransactionManager::is_broken_transaction_manager(conn)
}
