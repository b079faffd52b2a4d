//! The coordinator's own connection to the server.

use diesel::prelude::*;

use crate::model::counters as table;
use crate::server::Conn;

/// A connection that is opened again after it broke.
pub(super) struct Admin {
    url: String,
    conn: Option<Conn>,
}

impl Admin {
    pub(super) fn new(url: String) -> Self {
        Self { url, conn: None }
    }

    /// Runs a query. If it fails, runs it once more on a new connection.
    pub(super) fn run<T>(
        &mut self,
        query: impl Fn(&mut Conn) -> QueryResult<T>,
    ) -> anyhow::Result<T> {
        if let Some(conn) = &mut self.conn
            && let Ok(answer) = query(conn)
        {
            return Ok(answer);
        }
        let conn = self.conn.insert(Conn::establish(&self.url)?);
        Ok(query(conn)?)
    }
}

pub(super) fn counters(conn: &mut Conn) -> QueryResult<Vec<(i64, i64)>> {
    table::table.order(table::id).load(conn)
}
