//! [`Facts`]: version and settings of a server, and what is between it and the client.

use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::{Bool, Text, Untyped};

use super::pooling::{self, Pooling};
use crate::backend::Vendor;
use crate::backend::postgres::query::TextQuery;
use crate::driver::Driver;

#[derive(Default)]
pub(super) struct Facts {
    /// `version()`: the name of the vendor, the version, and the machine.
    pub(super) version: String,
    /// By name, in the units of `pg_settings`. A setting that the server does not have is missing.
    pub(super) settings: BTreeMap<String, String>,
    pub(super) is_standby: bool,
    pub(super) pooling: Option<Pooling>,
}

impl Facts {
    pub(super) async fn of<D: Driver<Db = Pg>>(driver: &mut D) -> QueryResult<Self> {
        #[derive(QueryableByName)]
        struct Setting {
            #[diesel(sql_type = Text)]
            name: String,
            #[diesel(sql_type = Text)]
            setting: String,
        }
        const SETTINGS: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN \
             ('server_version', 'statement_timeout', 'idle_session_timeout', \
             'idle_in_transaction_session_timeout', 'transaction_timeout', \
             'max_locks_per_transaction', 'max_connections', 'max_prepared_transactions', \
             'yb_silence_advisory_locks_not_supported_error')";
        let version = TextQuery::<Text>::new("SELECT version()");
        let mut facts = Facts {
            version: driver.load_one(version).await?,
            ..Facts::default()
        };
        if vendor(&facts.version) == Vendor::CockroachDb {
            // It may not have the catalogs, and is refused anyway.
            return Ok(facts);
        }
        let settings: Vec<Setting> = driver.load_all(TextQuery::<Untyped>::new(SETTINGS)).await?;
        let settings = settings.into_iter().map(|row| (row.name, row.setting));
        facts.settings = settings.collect();
        let is_standby = TextQuery::<Bool>::new("SELECT pg_catalog.pg_is_in_recovery()");
        facts.is_standby = driver.load_one(is_standby).await?;
        facts.pooling = pooling::detect(driver).await?;
        Ok(facts)
    }
}

pub(super) fn vendor(version: &str) -> Vendor {
    if version.contains("CockroachDB") {
        Vendor::CockroachDb
    } else if version.contains("-YB-") {
        Vendor::YugabyteDb
    } else {
        Vendor::PostgreSql
    }
}
