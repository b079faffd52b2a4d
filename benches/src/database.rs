//! The private server, its table, and ways to it.

use std::time::Duration;

use anyhow::{Context, Result};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use mysql::OptsBuilder;
use raw_client::Address;
use test_server::{Kind, Proxy, Server};

diesel::table! {
    accounts (id) {
        id -> BigInt,
        balance -> BigInt,
    }
}

diesel::table! {
    /// What people do who know no lock: a row for each name.
    claims (name) {
        name -> VarChar,
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

/// How clients connect that need no proxy.
#[derive(Clone, Copy)]
pub(crate) enum Transport {
    Tcp,
    Socket,
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
             INSERT INTO bench.accounts VALUES (1, 0), (2, 0);
             CREATE TABLE bench.claims (name VARCHAR(64) PRIMARY KEY);",
        )?;
        Ok(Database { server, proxy })
    }

    pub(crate) fn url(&self, way: Way) -> String {
        match way {
            Way::Loopback => self.server.url("bench"),
            Way::Proxy => self.server.url_through(&self.proxy, "bench"),
        }
    }

    pub(crate) fn connect_by(&self, transport: Transport) -> Result<MysqlConnection> {
        let url = match transport {
            Transport::Tcp => self.server.url("bench"),
            Transport::Socket => format!(
                "mysql://root@localhost/bench?unix_socket={}",
                self.socket()?
            ),
        };
        Ok(MysqlConnection::establish(&url)?)
    }

    pub(crate) fn raw_address(&self, transport: Transport) -> Result<Address<'_>> {
        Ok(match transport {
            Transport::Tcp => Address::Tcp(self.server.port()),
            Transport::Socket => Address::Socket(self.socket()?),
        })
    }

    pub(crate) fn pure_options(&self, transport: Transport) -> Result<OptsBuilder> {
        let options = OptsBuilder::new().user(Some("root")).db_name(Some("bench"));
        // It would change to the socket by itself.
        let options = options.prefer_socket(false);
        Ok(match transport {
            Transport::Tcp => options
                .ip_or_hostname(Some("127.0.0.1"))
                .tcp_port(self.server.port()),
            Transport::Socket => options.socket(Some(self.socket()?)),
        })
    }

    fn socket(&self) -> Result<&str> {
        let path = self.server.socket_path().to_str();
        path.context("the socket's path is no text")
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
