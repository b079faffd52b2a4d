//! The server check: [`Facts`] of the server, and the findings that follow from them.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::result::QueryResult;

use crate::backend::ServerReport;
use crate::driver::Driver;
use facts::Facts;

mod facts;
mod findings;
mod pooling;

pub(super) async fn check<D: Driver<Db = Pg>>(
    driver: &mut D,
    keep_alive: Option<Duration>,
) -> QueryResult<ServerReport> {
    let facts = Facts::of(driver).await?;
    Ok(facts.report(keep_alive))
}
