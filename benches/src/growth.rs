//! What grows with the number of locks that a session holds, of those who wait for one, and of names that are used.

mod held;
mod names;
mod waiters;

use anyhow::Result;

use crate::database::Database;
use crate::report::Report;
use crate::rounds::Plan;

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    // First of these: what is freed is not given back at once, and room that is left would hide some growth.
    report.add(names::run(database)?)?;
    report.add(held::run(database, plan)?)?;
    waiters::run(database, plan, report)
}
