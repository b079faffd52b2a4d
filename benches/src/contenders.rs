//! Everybody who locks, behind one trait: this library, what people would pick instead, and the floor below them all.

mod c_client;
mod diesel_select;
mod distributed_lock;
mod for_update;
mod hold_statements;
mod load;
mod lock_table;
mod measures;
mod mysql_crate;
mod others;
mod ours;
mod poll;
mod python;
mod redis;
mod sql_query;
#[cfg(test)]
mod tests;
mod turns;

use anyhow::Result;

pub(crate) use c_client::CClient;
pub(crate) use diesel_select::DieselSelect;
pub(crate) use distributed_lock::DistributedLock;
pub(crate) use for_update::ForUpdate;
pub(crate) use hold_statements::HoldStatements;
pub(crate) use load::{Load, Outcome};
pub(crate) use lock_table::LockTable;
pub(crate) use measures::{Measures, percentile};
pub(crate) use mysql_crate::MysqlCrate;
pub(crate) use others::Others;
pub(crate) use ours::{Call, Ours, Size};
pub(crate) use sql_query::SqlQuery;
pub(crate) use turns::Watch;

/// Somebody who locks, does nothing, and unlocks.
pub(crate) trait Locker {
    /// For the table's row.
    fn name(&self) -> String;

    /// This library, and not one of those it is compared to.
    fn ours(&self) -> bool {
        false
    }

    /// Connects, does so for as long as the load says, and disconnects.
    fn run(&mut self, load: &Load) -> Result<Outcome>;
}

pub(crate) type Lockers<'a> = Vec<Box<dyn Locker + 'a>>;
