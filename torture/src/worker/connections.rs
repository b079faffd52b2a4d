//! Where connections come from: one of a thread's own, and the process's pools.

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool, PooledConnection};
use diesel::sql_types::{Text, Unsigned};
use torture_check::history::{Event, Writer};

use crate::cli::{OwnFault, WorkerOptions};
use crate::model::{SCHEMA, Target};

pub(crate) type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

/// A pool, by the name that the history gives it.
pub(super) struct NamedPool {
    pub(super) name: &'static str,
    pub(super) pool: Pool<ConnectionManager<MysqlConnection>>,
}

pub(super) struct Pools {
    /// As many connections as threads, through the proxy.
    pub(super) roomy: NamedPool,
    /// One connection for all threads, or a roomy one without that fault.
    pub(super) squeezed: NamedPool,
}

impl Pools {
    pub(super) fn new(options: &WorkerOptions) -> Self {
        let threads = options.threads.into();
        let squeezed = if options.faults.has(OwnFault::Squeeze) {
            1
        } else {
            threads
        };
        Self {
            roomy: NamedPool::new("pooled", &options.proxied, threads),
            squeezed: NamedPool::new("squeezed-direct", &options.direct, squeezed),
        }
    }

    /// Asks every connection for the locks that it still holds.
    pub(super) fn drain(&self, history: &Writer) {
        for NamedPool { name, pool } in [&self.roomy, &self.squeezed] {
            let all: Vec<_> = (0..pool.max_size())
                .filter_map(|_| pool.get().ok())
                .collect();
            for mut conn in all {
                tell_held(name, &mut conn, history);
            }
        }
    }
}

impl NamedPool {
    fn new(name: &'static str, url: &str, size: u32) -> Self {
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(Duration::from_millis(500))
            .build_unchecked(ConnectionManager::new(url));
        Self { name, pool }
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

/// Whether nobody should work on a connection any more.
pub(super) fn is_broken(conn: &mut MysqlConnection) -> bool {
    AnsiTransactionManager::is_broken_transaction_manager(conn)
}

pub(super) fn mark_broken(conn: &mut MysqlConnection) {
    AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
}
