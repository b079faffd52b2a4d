//! [`PrepareDisabledServer`]: a server that can refuse to prepare statements.

use std::cell::RefCell;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use test_server::{Server, ServerKind};

use crate::server::Conn;

/// A private server that can refuse to prepare statements. A connection keeps the statements that
/// it has already prepared.
pub(crate) struct PrepareDisabledServer {
    /// Connected at the start, because Diesel prepares a statement to connect.
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

    /// Creates a schema with counter 1, and returns its URL.
    pub(crate) fn url_with_counter(&self) -> String {
        self.execute(
            "CREATE DATABASE IF NOT EXISTS counting;
             CREATE TABLE counting.counters (id BIGINT PRIMARY KEY, value BIGINT NOT NULL);
             INSERT INTO counting.counters VALUES (1, 0)",
        );
        self.server.url("counting")
    }

    /// Makes the server refuse to prepare statements.
    pub(crate) fn disable_prepare(&self) {
        self.limit_statements(0);
    }

    pub(crate) fn enable_prepare(&self) {
        self.limit_statements(1_000);
    }

    fn limit_statements(&self, count: u32) {
        self.execute(&format!("SET GLOBAL max_prepared_stmt_count = {count}"));
    }

    /// Executes SQL without preparing it.
    fn execute(&self, sql: &str) {
        self.root.borrow_mut().batch_execute(sql).unwrap();
    }
}
