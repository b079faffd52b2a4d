// The hidden head of the documentation's examples: a model, and its table on a private server.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool};
#[allow(unused_imports)]
use diesel_advisory_lock::prelude::*;

#[allow(dead_code)]
type TestResult = Result<(), Box<dyn std::error::Error>>;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
        sent -> Bool,
    }
}

diesel::table! {
    accounts (id) {
        id -> Integer,
        balance -> BigInt,
    }
}

#[derive(Debug, PartialEq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Notification {
    id: i32,
    message: String,
    sent: bool,
}

#[allow(dead_code)]
impl Notification {
    /// Sends the mail, and returns `false` if it had been sent before.
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<bool> {
        if self.sent {
            return Ok(false);
        }
        self.sent = true;
        diesel::update(&*self).set(&*self).execute(conn)?;
        Ok(true)
    }
}

/// A connection that sees notification 42, which is not sent yet, and two accounts with 100 each.
fn establish_connection() -> MysqlConnection {
    let mut conn = MysqlConnection::establish(&database_url()).expect("a server");
    Tables.create(&mut conn).expect("tables for this example");
    conn
}

/// A pool of one such connection.
#[allow(dead_code)]
fn pool() -> Result<Pool<ConnectionManager<MysqlConnection>>, diesel::r2d2::PoolError> {
    Pool::builder()
        .max_size(1)
        .connection_customizer(Box::new(Tables))
        .build(ConnectionManager::new(database_url()))
}

/// The server of `DATABASE_URL`, or a private one.
fn database_url() -> String {
    test_server::url_under_test().unwrap_or_else(|| {
        let server = test_server::Server::shared(test_server::kinds_under_test()[0]);
        MysqlConnection::establish(&server.url(""))
            .and_then(|mut conn| {
                conn.batch_execute("CREATE DATABASE IF NOT EXISTS doctest")
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)
            })
            .expect("a schema");
        server.url("doctest")
    })
}

/// The namespace of this example's locks: examples run side by side and use the same names.
static NAMESPACE: LazyLock<u32> = LazyLock::new(|| RandomState::new().hash_one(()) as u32);

/// Temporary tables, so that nothing remains on the server of `DATABASE_URL`.
#[derive(Debug)]
struct Tables;

impl Tables {
    fn create(&self, conn: &mut MysqlConnection) -> QueryResult<()> {
        conn.batch_execute(&format!(
            "SET @diesel_advisory_lock_prefix = '{:08x}/', @diesel_advisory_lock_namespace = {} * \
             4, \
             @diesel_advisory_lock_schema = CAST(DATABASE() AS BINARY);",
            *NAMESPACE, *NAMESPACE
        ))?;
        conn.batch_execute(
            "CREATE TEMPORARY TABLE notifications (
                 id INTEGER PRIMARY KEY, message TEXT NOT NULL, sent BOOLEAN NOT NULL DEFAULT FALSE
             );
             INSERT INTO notifications (id, message) VALUES (42, 'Hello world');
             CREATE TEMPORARY TABLE accounts (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL);
             INSERT INTO accounts VALUES (1, 100), (2, 100);",
        )
    }
}

impl CustomizeConnection<MysqlConnection, diesel::r2d2::Error> for Tables {
    fn on_acquire(&self, conn: &mut MysqlConnection) -> Result<(), diesel::r2d2::Error> {
        self.create(conn).map_err(diesel::r2d2::Error::QueryError)
    }
}
