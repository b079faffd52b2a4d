//! The private server, its table, and ways to it.

use anyhow::Result;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use test_server::{Kind, Server};

diesel::table! {
    accounts (id) {
        id -> BigInt,
        balance -> BigInt,
    }
}

#[derive(Clone, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = accounts, check_for_backend(diesel::mysql::Mysql))]
pub(crate) struct Account {
    pub(crate) id: i64,
    pub(crate) balance: i64,
}

pub(crate) type Connections = Pool<ConnectionManager<MysqlConnection>>;

pub(crate) struct Database {
    server: Server,
}

/// How statements get to the server.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Loopback,
}

impl Database {
    pub(crate) fn start(kind: Kind) -> Result<Database> {
        let server = Server::start(kind)?;
        let mut conn = MysqlConnection::establish(&server.url(""))?;
        conn.batch_execute(
            "SET GLOBAL max_connections = 1000;
             CREATE DATABASE bench;
             CREATE TABLE bench.accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
             INSERT INTO bench.accounts VALUES (1, 0), (2, 0);",
        )?;
        Ok(Database { server })
    }

    pub(crate) fn url(&self, way: Way) -> String {
        match way {
            Way::Loopback => self.server.url("bench"),
        }
    }

    pub(crate) fn connect(&self, way: Way, count: usize) -> Result<Vec<MysqlConnection>> {
        let url = self.url(way);
        Ok((0..count)
            .map(|_| MysqlConnection::establish(&url))
            .collect::<Result<_, _>>()?)
    }

    pub(crate) fn pool(&self, way: Way, size: u32) -> Result<Connections> {
        Ok(Pool::builder()
            .max_size(size)
            .build(ConnectionManager::new(self.url(way)))?)
    }
}
