//! The competitors behind one trait: this crate, the alternatives, and the bare protocol.

mod c_client;
mod diesel_select;
mod distributed_lock;
mod for_update;
mod load;
mod lock_table;
mod measures;
mod mysql_crate;
mod ours;
mod poll;
#[cfg(feature = "postgres")]
mod postgres;
mod recorder;
pub(crate) mod redis;
mod run_statements;
mod sql_query;
mod tasks;
#[cfg(test)]
mod tests;

use anyhow::Result;

use crate::database::Endpoint;

pub(crate) use c_client::CClient;
pub(crate) use diesel_select::DieselSelect;
pub(crate) use distributed_lock::DistributedLock;
pub(crate) use for_update::ForUpdate;
pub(crate) use load::{Load, Outcome, Until};
pub(crate) use lock_table::LockTable;
pub(crate) use measures::{Measures, percentile};
pub(crate) use mysql_crate::MysqlCrate;
pub(crate) use ours::{Call, Ours, Size};
pub(crate) use recorder::Watch;
pub(crate) use run_statements::RunStatements;
pub(crate) use sql_query::SqlQuery;
pub(crate) use tasks::in_tasks;

/// A way to acquire and release a lock.
pub(crate) trait Competitor {
    /// Returns the label of its rows.
    fn name(&self) -> String;

    /// Returns whether it is this crate.
    fn ours(&self) -> bool {
        false
    }

    /// Connects, acquires and releases locks for the duration of the load, and disconnects.
    fn run(&mut self, load: &Load) -> Result<Outcome>;
}

pub(crate) type Competitors<'a> = Vec<Box<dyn Competitor + 'a>>;

/// The alternatives on PostgreSQL, if that is measured. The first is the C client.
pub(crate) fn on_postgres(at: Endpoint<'_>) -> Option<Competitors<'_>> {
    #[cfg(feature = "postgres")]
    let competitors: Option<Competitors<'_>> = Some(vec![
        Box::new(postgres::CClient(at)),
        Box::new(postgres::SqlQuery(at)),
        Box::new(postgres::SqlxLock(at)),
        Box::new(ForUpdate(at)),
    ]);
    #[cfg(not(feature = "postgres"))]
    let competitors = {
        let _ = at;
        None
    };
    competitors
}
