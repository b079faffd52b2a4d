//! The server check.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::Text;

use super::query::TextQuery;
use crate::backend::{ServerReport, Vendor};
use crate::driver::Driver;

pub(super) async fn check<D: Driver<Db = Pg>>(
    driver: &mut D,
    _keep_alive: Option<Duration>,
) -> QueryResult<ServerReport> {
    let query = TextQuery::<Text>::new("SELECT current_setting('server_version')");
    Ok(ServerReport {
        vendor: Vendor::PostgreSql,
        version: driver.load_one(query).await?,
        wait_timeout: None,
        findings: Vec::new(),
    })
}
