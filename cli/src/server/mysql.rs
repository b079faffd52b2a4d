//! What the commands ask MySQL and MariaDB beside the library's questions.

use anyhow::{Context, Result};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Unsigned};
use diesel_advisory_lock::LockStatus;

use super::Ending;
use crate::lock::{Session, State};
use crate::name::{Of, Wanted};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

pub(super) fn schema_of(conn: &mut MysqlConnection, _: Of<'_>) -> Result<String> {
    let query = diesel::sql_query("SELECT COALESCE(DATABASE(), '') AS name");
    Ok(query.get_result::<Name>(conn)?.name)
}

pub(super) fn schemas(conn: &mut MysqlConnection) -> QueryResult<Vec<String>> {
    let query = "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA";
    let names: Vec<Name> = diesel::sql_query(query).load(conn)?;
    Ok(names.into_iter().map(|row| row.name).collect())
}

/// What an administrator must run so that the account sees all sessions. On MySQL the list of
/// locks has all of them.
pub(super) fn remedy_of_hidden(conn: &mut MysqlConnection) -> QueryResult<Option<String>> {
    Ok(is_mariadb(conn)?.then(|| {
        "`GRANT PROCESS ON *.* TO <account>`; without it, sessions that wait are not listed either"
            .to_owned()
    }))
}

fn is_mariadb(conn: &mut MysqlConnection) -> QueryResult<bool> {
    let version: Name = diesel::sql_query("SELECT VERSION() AS name").get_result(conn)?;
    Ok(version.name.contains("MariaDB"))
}

/// What the account may see of a session.
pub(super) fn session(conn: &mut MysqlConnection, id: u64) -> QueryResult<Session> {
    #[derive(QueryableByName)]
    struct Process {
        #[diesel(sql_type = Text)]
        user: String,
        #[diesel(sql_type = Text)]
        host: String,
        #[diesel(sql_type = BigInt)]
        seconds: i64,
        #[diesel(sql_type = Nullable<Text>)]
        statement: Option<String>,
    }
    let query = "SELECT USER AS user, HOST AS host, CAST(TIME AS SIGNED) AS seconds, \
                 LEFT(INFO, 1000) AS statement FROM information_schema.PROCESSLIST WHERE ID = ?";
    let query = diesel::sql_query(query).bind::<Unsigned<BigInt>, _>(id);
    let process: Option<Process> = query.get_result(conn).optional()?;
    let unknown = Session::unknown(id);
    Ok(match process {
        None => unknown,
        Some(process) => Session {
            user: Some(process.user),
            host: Some(process.host),
            state: Some(match process.statement {
                Some(_) => State::Statement,
                None => State::Idle,
            }),
            in_state: u64::try_from(process.seconds)
                .ok()
                .map(std::time::Duration::from_secs),
            statement: process.statement,
            ..unknown
        },
    })
}

pub(super) fn holders(conn: &mut MysqlConnection, wanted: &Wanted) -> Result<Vec<u64>> {
    Ok(match wanted.name().status(conn)? {
        LockStatus::HeldBy { connection_id } => vec![connection_id],
        LockStatus::Free | LockStatus::HeldHere => Vec::new(),
    })
}

/// The server gives no id to a second session until it restarts.
pub(super) fn end(conn: &mut MysqlConnection, wanted: &Wanted, id: u64) -> Result<Ending> {
    if !holders(conn, wanted)?.contains(&id) {
        return Ok(Ending::NotHolding);
    }
    let Err(error) = conn.batch_execute(&format!("KILL {id}")) else {
        return Ok(Ending::Requested);
    };
    // It may have ended by itself meanwhile.
    if !holders(conn, wanted)?.contains(&id) {
        return Ok(Ending::NotHolding);
    }
    let remedy = match is_mariadb(conn)? {
        true => "`GRANT CONNECTION ADMIN ON *.* TO <account>` (SUPER before 10.5)",
        false => {
            "`GRANT CONNECTION_ADMIN ON *.* TO <account>` (SUPER before 8.0; for sessions of \
             accounts with SYSTEM_USER that as well)"
        }
    };
    Err(error).with_context(|| {
        format!(
            "cannot end connection {id}: an account may end its own sessions; for others, ask an \
             administrator to run {remedy}, or on Amazon RDS run `CALL mysql.rds_kill({id})`"
        )
    })
}
