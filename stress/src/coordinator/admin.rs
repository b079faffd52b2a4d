//! The coordinator's own connection to the server, and its queries.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Unsigned};

use crate::model::{SCHEMA, Target, counters as table};

/// A connection that is opened again after it broke.
pub(super) struct Admin {
    url: String,
    conn: Option<MysqlConnection>,
}

impl Admin {
    pub(super) fn new(url: String) -> Self {
        Self { url, conn: None }
    }

    /// Runs a query. If it fails, runs it once more on a new connection.
    pub(super) fn run<T>(
        &mut self,
        query: impl Fn(&mut MysqlConnection) -> QueryResult<T>,
    ) -> anyhow::Result<T> {
        if let Some(conn) = &mut self.conn
            && let Ok(answer) = query(conn)
        {
            return Ok(answer);
        }
        let conn = self.conn.insert(MysqlConnection::establish(&self.url)?);
        Ok(query(conn)?)
    }
}

/// A worker's session.
#[derive(QueryableByName)]
pub(super) struct Session {
    #[diesel(sql_type = Unsigned<BigInt>)]
    pub(super) id: u64,
    #[diesel(sql_type = Nullable<Text>)]
    state: Option<String>,
}

impl Session {
    /// MySQL and MariaDB have the same name for this state.
    pub(super) fn waits_for_a_lock(&self) -> bool {
        self.state.as_deref() == Some("User lock")
    }
}

pub(super) fn sessions(conn: &mut MysqlConnection) -> QueryResult<Vec<Session>> {
    diesel::sql_query(format!(
        "SELECT CAST(id AS UNSIGNED) AS id, state AS state \
         FROM information_schema.processlist WHERE db = '{SCHEMA}'"
    ))
    .load(conn)
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

/// The locks that are held, and the session that holds each.
pub(super) fn holders(conn: &mut MysqlConnection) -> QueryResult<Vec<(String, u64)>> {
    let columns: Vec<_> = Target::all()
        .map(|target| {
            let name = target.name();
            let full_name = name.full_name(SCHEMA);
            format!("CONCAT('{name} ', IS_USED_LOCK('{full_name}'))")
        })
        .collect();
    let query = format!("SELECT CONCAT_WS(',', {}) AS answer", columns.join(", "));
    let Answer { answer } = diesel::sql_query(query).get_result(conn)?;
    let holders = answer.split(',').filter_map(|part| part.split_once(' '));
    Ok(holders
        .filter_map(|(name, session)| Some((name.to_owned(), session.parse().ok()?)))
        .collect())
}

pub(super) fn counters(conn: &mut MysqlConnection) -> QueryResult<Vec<(i64, i64)>> {
    conn.batch_execute(&format!("USE {SCHEMA}"))?;
    table::table.order(table::id).load(conn)
}
