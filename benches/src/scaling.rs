//! How the cost of a lock grows with the locks that the session holds, with the waiters, and with
//! the names that the process has used.

mod held;
mod names;
mod waiters;

use anyhow::Result;

use crate::database::Database;
use crate::interleave::Plan;
use crate::report::Report;

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    // The names come first: the allocator keeps the memory that the others free, which would hide
    // a leak.
    report.add(names::run(database)?)?;
    report.add(held::run(database, plan)?)?;
    waiters::run(database, plan, report)
}
