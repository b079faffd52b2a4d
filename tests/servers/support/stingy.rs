//! [`Stingy`]: a server that prepares no statements.

use std::cell::RefCell;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use test_server::Server;

use super::Db;

/// A server of its own, on which statements can be forbidden to be prepared. What a connection has prepared before, it
/// keeps.
pub(crate) struct Stingy {
    /// From before: Diesel prepares a statement to connect.
    root: RefCell<MysqlConnection>,
    server: Server,
}

impl Stingy {
    pub(crate) fn start(db: &Db) -> Self {
        let server = Server::start(db.kind()).unwrap();
        let root = MysqlConnection::establish(&server.url("")).unwrap();
        Stingy {
            root: RefCell::new(root),
            server,
        }
    }

    pub(crate) fn conn(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.server.url("")).unwrap()
    }

    /// The address of a new schema with counter 1.
    pub(crate) fn url_with_counter(&self) -> String {
        self.execute(
            "CREATE DATABASE IF NOT EXISTS counting;
             CREATE TABLE counting.counters (id BIGINT PRIMARY KEY, value BIGINT NOT NULL);
             INSERT INTO counting.counters VALUES (1, 0)",
        );
        self.server.url("counting")
    }

    /// Without a prepared statement.
    pub(crate) fn execute(&self, sql: &str) {
        self.root.borrow_mut().batch_execute(sql).unwrap();
    }

    pub(crate) fn forbid(&self) {
        self.allow(0);
    }

    pub(crate) fn permit(&self) {
        self.allow(1_000);
    }

    fn allow(&self, statements: u32) {
        self.execute(&format!(
            "SET GLOBAL max_prepared_stmt_count = {statements}"
        ));
    }
}
