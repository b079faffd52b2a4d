//! [`PrepareDisabledServer`]: a server that prepares no statements.

use std::cell::RefCell;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use test_server::{Server, ServerKind};

use super::Conn;

/// A private server that can be made to prepare no more statements. A connection keeps those that
/// it has prepared before.
pub(crate) struct PrepareDisabledServer {
    /// Connected before: Diesel prepares a statement to connect.
    root: RefCell<Conn>,
    server: Server,
}

impl PrepareDisabledServer {
    pub(crate) fn start(kind: ServerKind) -> Self {
        let server = Server::start(kind).unwrap_or_else(|error| panic!("{error}"));
        let root = Conn::establish(&server.url("")).unwrap();
        PrepareDisabledServer {
            root: RefCell::new(root),
            server,
        }
    }

    pub(crate) fn conn(&self) -> Conn {
        Conn::establish(&self.server.url("")).unwrap()
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

    /// From now on the server refuses to prepare a statement.
    pub(crate) fn disable_prepare(&self) {
        self.limit_statements(0);
    }

    pub(crate) fn enable_prepare(&self) {
        self.limit_statements(1_000);
    }

    fn limit_statements(&self, count: u32) {
        self.execute(&format!("SET GLOBAL max_prepared_stmt_count = {count}"));
    }

    /// Without a prepared statement.
    fn execute(&self, sql: &str) {
        self.root.borrow_mut().batch_execute(sql).unwrap();
    }
}
