//! The private server, its table, and ways to it.

use std::time::Duration;

use anyhow::Result;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use test_server::{Kind, Proxy, Server};

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
    proxy: Proxy,
}

/// How statements get to the server.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Loopback,
    /// Loopback with a delay.
    Proxy,
}

impl Database {
    pub(crate) fn start(kind: Kind) -> Result<Database> {
        let server = Server::start(kind)?;
        let proxy = Proxy::start(server.address())?;
        let mut conn = MysqlConnection::establish(&server.url(""))?;
        conn.batch_execute(
            "SET GLOBAL max_connections = 1000;
             CREATE DATABASE bench;
             CREATE TABLE bench.accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
             INSERT INTO bench.accounts VALUES (1, 0), (2, 0);",
        )?;
        Ok(Database { server, proxy })
    }

    pub(crate) fn url(&self, way: Way) -> String {
        match way {
            Way::Loopback => self.server.url("bench"),
            Way::Proxy => self.server.url_through(&self.proxy, "bench"),
        }
    }

    /// How long the proxy takes in each direction.
    pub(crate) fn set_delay(&self, one_way: Duration) {
        self.proxy.set_delay(one_way);
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
