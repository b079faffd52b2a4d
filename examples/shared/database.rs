//! [`Database`]: the database of `DATABASE_URL`, or one on a private server.

use std::env;

use anyhow::{Context, Result};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use test_server::{Server, ServerKind};

use super::DbConnection;

/// An open database. A private server ends on drop.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) conn: DbConnection,
    _server: Option<Server>,
}

impl Database {
    /// Connects to the database of `DATABASE_URL`. If it is not set, starts a private server.
    pub(crate) fn open(kind: ServerKind) -> Result<Self> {
        let (url, server) = match env::var("DATABASE_URL") {
            Ok(url) => (url, None),
            Err(_) => {
                println!("Starting a private {kind} server in a temporary directory.");
                let server = Server::start(kind)
                    .context("cannot start a private server; set DATABASE_URL to use another")?;
                DbConnection::establish(&server.url(""))?
                    .batch_execute("CREATE DATABASE example")?;
                (server.url("example"), Some(server))
            }
        };
        let conn = DbConnection::establish(&url).context("cannot connect to the database")?;
        Ok(Self {
            url,
            conn,
            _server: server,
        })
    }
}
