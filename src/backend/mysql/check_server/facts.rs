//! [`Facts`]: version, variables and replication of a server.

use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::mysql::Mysql;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text, Untyped};

use crate::backend::Vendor;
use crate::backend::mysql::error_code;
use crate::backend::mysql::query::{UncachedQuery, big_select};
use crate::driver::Driver;

/// Values of variables, by name.
pub(super) type Values = BTreeMap<String, String>;

#[derive(Default)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) global: Values,
    pub(super) session: Values,
    pub(super) status: Values,
    pub(super) replicates: Replicates,
    /// Whether the session's `max_join_size` kept variables from being read, as on MySQL before
    /// 8.0.3.
    pub(super) too_big: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Replicates {
    Yes,
    #[default]
    No,
    Denied,
}

type Variables = UncachedQuery<'static, Untyped>;

#[derive(QueryableByName)]
struct Variable {
    #[diesel(sql_type = Text, column_name = "Variable_name")]
    name: String,
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// Two queries for variables of one scope. The second is for when the first reads too many rows.
/// Variables that a server does not have are missing from the rows.
macro_rules! variables {
    ($scope:literal, $names:literal) => {
        [
            UncachedQuery::new(&[concat!(
                big_select!(before any statement),
                "SHOW ",
                $scope,
                " VARIABLES WHERE Variable_name IN (",
                $names,
                ")"
            )]),
            // MySQL's SHOW reads this table too, but takes no hint. Any account may read it.
            UncachedQuery::new(&[concat!(
                big_select!(select),
                "VARIABLE_NAME AS Variable_name, COALESCE(VARIABLE_VALUE, '') AS Value \
                 FROM performance_schema.",
                $scope,
                "_variables WHERE VARIABLE_NAME IN (",
                $names,
                ")"
            )]),
        ]
    };
}

impl Facts {
    pub(super) async fn of<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<Self> {
        const VERSION: UncachedQuery<'_, Text> = UncachedQuery::new(&["SELECT VERSION()"]);
        const GLOBAL: [Variables; 2] = variables!(
            "global",
            "'wsrep_on', 'wsrep_provider', 'group_replication_single_primary_mode', \
             'performance_schema', 'read_only', 'innodb_read_only', 'lower_case_table_names'"
        );
        const SESSION: [Variables; 2] = variables!(
            "session",
            "'wait_timeout', 'autocommit', 'completion_type', 'idle_transaction_timeout', \
             'idle_write_transaction_timeout', 'idle_readonly_transaction_timeout'"
        );
        const STATUS: [Variables; 1] = [UncachedQuery::new(&[concat!(
            big_select!(before any statement),
            "SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_cluster_size'"
        )])];
        let version: String = driver.load_one(VERSION).await?;
        if version.is_empty() {
            // The client library returns every text as an empty one.
            return Ok(Facts::default());
        }
        let replicates = replicates(driver, &version).await?;
        let global = read_values(driver, GLOBAL).await?;
        let session = read_values(driver, SESSION).await?;
        let status = read_values(driver, STATUS).await?;
        Ok(Facts {
            version,
            replicates,
            too_big: [&global, &session, &status].contains(&&None),
            global: global.unwrap_or_default(),
            session: session.unwrap_or_default(),
            status: status.unwrap_or_default(),
        })
    }
}

/// Returns the answer to the first of these queries that the session's `max_join_size` permits, or
/// `None` if it permits none.
async fn read_values<D: Driver<Db = Mysql>, const N: usize>(
    driver: &mut D,
    queries: [Variables; N],
) -> QueryResult<Option<Values>> {
    let mut too_big = false;
    for query in queries {
        let error = match driver.load_all::<_, Variable>(query).await {
            Ok(rows) => {
                let pairs = rows.into_iter().map(|row| (row.name, row.value));
                return Ok(Some(pairs.collect()));
            }
            Err(error) => error,
        };
        if error_code::of_last_error(driver).await == Some(error_code::TOO_BIG_SELECT) {
            too_big = true;
        } else if !too_big {
            return Err(error);
        }
        // Otherwise the server has no such table.
    }
    Ok(None)
}

async fn replicates<D: Driver<Db = Mysql>>(
    driver: &mut D,
    version: &str,
) -> QueryResult<Replicates> {
    /// A source. The name of the first one is often empty.
    #[derive(QueryableByName)]
    struct Source {
        #[diesel(sql_type = Text, column_name = "Connection_name")]
        _name: String,
    }
    const SOURCES: UncachedQuery<'_, Untyped> = UncachedQuery::new(&["SHOW ALL SLAVES STATUS"]);
    // Not `SHOW REPLICA STATUS`, which returns no columns as a prepared statement. The channels of
    // Group Replication do not count as sources.
    const CHANNELS: UncachedQuery<'_, BigInt> = UncachedQuery::new(&[concat!(
        big_select!(select),
        "COUNT(*) FROM performance_schema.replication_connection_configuration \
         WHERE LEFT(CHANNEL_NAME, 18) <> 'group_replication_'"
    )]);
    let any = match vendor(version) {
        Vendor::MariaDb => {
            let sources = driver.load_all::<_, Source>(SOURCES).await;
            sources.map(|sources| !sources.is_empty())
        }
        // The table exists since 5.7.6.
        Vendor::MySql if numbers(version) >= [5, 7, 6] => {
            let channels = driver.load_one::<_, i64>(CHANNELS).await;
            channels.map(|channels| channels > 0)
        }
        _ => return Ok(Replicates::No),
    };
    match any {
        Ok(true) => Ok(Replicates::Yes),
        Ok(false) => Ok(Replicates::No),
        Err(error) => match error_code::of_last_error(driver).await {
            Some(
                error_code::PRIVILEGE_MISSING
                | error_code::TABLE_ACCESS_DENIED
                | error_code::TOO_BIG_SELECT,
            ) => Ok(Replicates::Denied),
            _ => Err(error),
        },
    }
}

pub(super) fn vendor(version: &str) -> Vendor {
    let vendors = [
        ("MariaDB", Vendor::MariaDb),
        ("TiDB", Vendor::TiDb),
        ("Vitess", Vendor::Vitess),
    ];
    let named = vendors.iter().find(|(name, _)| version.contains(name));
    named.map_or(Vendor::MySql, |(_, vendor)| *vendor)
}

/// Returns the first three numbers of a version.
pub(super) fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = [0; 3];
    let parts = version.split(|char: char| !char.is_ascii_digit());
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.parse().unwrap_or(0);
    }
    numbers
}
