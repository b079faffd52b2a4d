//! Where connections come from: one of a thread's own, and the process's pools.

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::sql_types::{Text, Unsigned};
use diesel_advisory_lock::LockPool;
use torture_check::history::{Event, Writer};

use crate::cli::{OwnFault, WorkerOptions};
use crate::model::{SCHEMA, Target};
use crate::work::DEFAULTS;

pub(crate) type Pool = diesel::r2d2::Pool<ConnectionManager<MysqlConnection>>;
pub(crate) type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

/// A pool, by the name that the history gives it.
pub(super) struct Named<P> {
    pub(super) name: &'static str,
    pub(super) pool: P,
}

pub(super) struct Pools {
    /// As many connections as threads, through the proxy; the library is given a connection of it.
    pub(super) roomy: Named<Pool>,
    /// One connection for all threads, or a roomy one without that fault.
    pub(super) squeezed: Named<Pool>,
    /// The library takes its connections from these by itself.
    pub(super) from: Named<Pool>,
    pub(super) lock_pool: Named<LockPool<MysqlConnection>>,
    pub(super) squeezed_lock_pool: Named<LockPool<MysqlConnection>>,
}

impl Pools {
    pub(super) fn new(options: &WorkerOptions) -> Self {
        let threads = options.threads.into();
        let squeezed = if options.faults.has(OwnFault::Squeeze) {
            1
        } else {
            threads
        };
        let roomy = |name| Named::new(name, &options.proxied, threads);
        let squeezed = |name| Named::new(name, &options.direct, squeezed);
        Self {
            roomy: roomy("pooled"),
            squeezed: squeezed("squeezed-direct"),
            from: roomy("pool-from"),
            lock_pool: roomy("lock-pool").queued(),
            squeezed_lock_pool: squeezed("squeezed-lock-pool-direct").queued(),
        }
    }

    /// Asks every connection for the locks that it still holds.
    pub(super) fn drain(&self, history: &Writer) {
        self.roomy.drain(history);
        self.squeezed.drain(history);
        self.from.drain(history);
        self.lock_pool.below().drain(history);
        self.squeezed_lock_pool.below().drain(history);
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

    fn queued(self) -> Named<LockPool<MysqlConnection>> {
        Named {
            name: self.name,
            pool: LockPool::new(self.pool),
        }
    }

    fn drain(&self, history: &Writer) {
        let size = self.pool.max_size();
        let all: Vec<_> = (0..size).filter_map(|_| self.pool.get().ok()).collect();
        for mut conn in all {
            tell_held(self.name, &mut conn, history);
        }
    }
}

impl Named<LockPool<MysqlConnection>> {
    fn below(&self) -> Named<Pool> {
        Named {
            name: self.name,
            pool: self.pool.pool().clone(),
        }
    }
}

/// Writes down what an idle connection holds. One that does not answer holds nothing.
pub(super) fn tell_held(source: &str, conn: &mut MysqlConnection, history: &Writer) {
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

/// A session's number, and the locks that it holds now.
fn held_by(conn: &mut MysqlConnection) -> QueryResult<(u64, String)> {
    let questions: Vec<_> = Target::all()
        .map(|target| {
            let name = target.name();
            let written = name.written(SCHEMA);
            format!("IF(IS_USED_LOCK('{written}') <=> CONNECTION_ID(), '{name}', NULL)")
        })
        .collect();
    let query = format!(
        "SELECT CAST(CONNECTION_ID() AS UNSIGNED) AS session, CONCAT_WS('+', {}) AS names",
        questions.join(", ")
    );
    let held: HeldBy = diesel::sql_query(query).get_result(conn)?;
    Ok((held.session, held.names))
}

/// Sets back what an operation has set in its session. A connection that cannot be set back is of no further use.
pub(super) fn set_back(conn: &mut MysqlConnection) {
    // A statement may be interrupted, and so may the next.
    let done = (0..3).any(|_| conn.batch_execute(DEFAULTS).is_ok());
    if !done {
        AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
    }
}

/// Whether nobody should work on a connection any more.
pub(super) fn is_broken(conn: &mut MysqlConnection) -> bool {
    AnsiTransactionManager::is_broken_transaction_manager(conn)
}
