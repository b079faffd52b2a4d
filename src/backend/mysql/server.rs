//! What a server says of itself; `findings.rs` has what follows from it.

use std::collections::BTreeMap;

use diesel::mysql::MysqlConnection;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl};

use super::code;
use super::statement::{Uncached, big_select};
use crate::server::{ServerCheck, ServerReport, Vendor};
use findings::{numbers, vendor};

mod findings;

pub(super) fn check(conn: &mut MysqlConnection, check: ServerCheck) -> QueryResult<ServerReport> {
    let facts = Facts::of(conn)?;
    Ok(facts.report(check))
}

/// Variables and states, by name.
type Named = BTreeMap<String, String>;

#[derive(Default)]
struct Facts {
    version: String,
    global: Named,
    session: Named,
    status: Named,
    replicates: Replicates,
    /// Whether the session's `max_join_size` kept variables from being read, as on MySQL before
    /// 8.0.3.
    too_big: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Replicates {
    Yes,
    #[default]
    No,
    Denied,
}

type Rows = Uncached<'static, (Text, Text)>;

/// Queries for variables of one scope, the second for where the first reads too many rows.
/// Variables that a server does not have are missing from the rows.
macro_rules! variables {
    ($scope:literal, $names:literal) => {
        [
            Uncached::new(&[concat!(
                big_select!(before any statement),
                "SHOW ",
                $scope,
                " VARIABLES WHERE Variable_name IN (",
                $names,
                ")"
            )]),
            // Where MySQL's SHOW reads them, but with room for its hint. Any account may read this
            // table.
            Uncached::new(&[concat!(
                big_select!(select),
                "VARIABLE_NAME, COALESCE(VARIABLE_VALUE, '') FROM performance_schema.",
                $scope,
                "_variables WHERE VARIABLE_NAME IN (",
                $names,
                ")"
            )]),
        ]
    };
}

impl Facts {
    fn of(conn: &mut MysqlConnection) -> QueryResult<Self> {
        const VERSION: Uncached<'_, Text> = Uncached::new(&["SELECT VERSION()"]);
        const GLOBAL: [Rows; 2] = variables!(
            "global",
            "'wsrep_on', 'wsrep_provider', 'group_replication_single_primary_mode', \
             'performance_schema', 'read_only', 'innodb_read_only', 'lower_case_table_names'"
        );
        const SESSION: [Rows; 2] = variables!(
            "session",
            "'wait_timeout', 'autocommit', 'completion_type', 'idle_transaction_timeout', \
             'idle_write_transaction_timeout', 'idle_readonly_transaction_timeout'"
        );
        const STATUS: [Rows; 1] = [Uncached::new(&[concat!(
            big_select!(before any statement),
            "SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_cluster_size'"
        )])];
        let version: String = VERSION.get_result(conn)?;
        if version.is_empty() {
            // Then so is all else.
            return Ok(Facts::default());
        }
        let replicates = replicates(conn, &version)?;
        let global = named(conn, GLOBAL)?;
        let session = named(conn, SESSION)?;
        let status = named(conn, STATUS)?;
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

/// The answer to the first of these queries that the session's `max_join_size` permits; `None` if
/// it permits none.
fn named<const N: usize>(
    conn: &mut MysqlConnection,
    queries: [Rows; N],
) -> QueryResult<Option<Named>> {
    let mut too_big = false;
    for query in queries {
        match query.get_results(conn) {
            Ok(rows) => return Ok(Some(rows.into_iter().collect())),
            Err(_) if code::of_last_error(conn) == Some(code::TOO_BIG_SELECT) => too_big = true,
            // Then a server has no such table.
            Err(_) if too_big => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Each source has a name, of which the first is often empty.
fn replicates(conn: &mut MysqlConnection, version: &str) -> QueryResult<Replicates> {
    #[derive(QueryableByName)]
    struct Source {
        #[diesel(sql_type = Text, column_name = "Connection_name")]
        _name: String,
    }
    // Not by `SHOW REPLICA STATUS`, of which a prepared statement has no columns. A group's own channels say nothing of
    // another server.
    const CHANNELS: Uncached<'_, BigInt> = Uncached::new(&[concat!(
        big_select!(select),
        "COUNT(*) FROM performance_schema.replication_connection_configuration \
         WHERE LEFT(CHANNEL_NAME, 18) <> 'group_replication_'"
    )]);
    let sources = match vendor(version) {
        Vendor::MariaDb => diesel::sql_query("SHOW ALL SLAVES STATUS")
            .get_results::<Source>(conn)
            .map(|sources| !sources.is_empty()),
        // The table is of 5.7.6.
        Vendor::MySql if numbers(version) >= [5, 7, 6] => {
            CHANNELS.get_result(conn).map(|channels: i64| channels > 0)
        }
        _ => return Ok(Replicates::No),
    };
    match sources {
        Ok(true) => Ok(Replicates::Yes),
        Ok(false) => Ok(Replicates::No),
        Err(error) => match code::of_last_error(conn) {
            Some(code::PRIVILEGE_MISSING | code::TABLE_ACCESS_DENIED | code::TOO_BIG_SELECT) => {
                Ok(Replicates::Denied)
            }
            _ => Err(error),
        },
    }
}
