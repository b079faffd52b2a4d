//! What a server says of itself; `findings.rs` has what follows from it.

use std::collections::BTreeMap;

use diesel::mysql::MysqlConnection;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl};

use super::code;
use super::statement::Uncached;
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
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Replicates {
    Yes,
    #[default]
    No,
    Denied,
}

impl Facts {
    fn of(conn: &mut MysqlConnection) -> QueryResult<Self> {
        const VERSION: Uncached<'_, Text> = Uncached::new(&["SELECT VERSION()"]);
        // What a server has no such variable for, it leaves out.
        const GLOBAL: Uncached<'_, (Text, Text)> = Uncached::new(&[
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_provider', \
             'group_replication_single_primary_mode', 'performance_schema', 'read_only', 'innodb_read_only')",
        ]);
        const SESSION: Uncached<'_, (Text, Text)> = Uncached::new(&[
            "SHOW SESSION VARIABLES WHERE Variable_name IN ('wait_timeout', 'autocommit', \
             'idle_transaction_timeout', 'idle_write_transaction_timeout', 'idle_readonly_transaction_timeout')",
        ]);
        const STATUS: Uncached<'_, (Text, Text)> =
            Uncached::new(&["SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_cluster_size'"]);
        let version: String = VERSION.get_result(conn)?;
        if version.is_empty() {
            // Then so is all else.
            return Ok(Facts::default());
        }
        Ok(Facts {
            replicates: replicates(conn, &version)?,
            version,
            global: GLOBAL.get_results(conn)?.into_iter().collect(),
            session: SESSION.get_results(conn)?.into_iter().collect(),
            status: STATUS.get_results(conn)?.into_iter().collect(),
        })
    }
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
    const CHANNELS: Uncached<'_, BigInt> = Uncached::new(&[
        "SELECT COUNT(*) FROM performance_schema.replication_connection_configuration \
         WHERE LEFT(CHANNEL_NAME, 18) <> 'group_replication_'",
    ]);
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
            Some(code::PRIVILEGE_MISSING | code::TABLE_ACCESS_DENIED) => Ok(Replicates::Denied),
            _ => Err(error),
        },
    }
}
