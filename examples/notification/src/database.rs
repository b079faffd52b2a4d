//! The server, the table, and the rows to race for.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use test_server::{Server, ServerKind, StartError};

use crate::schema::notifications;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// The environment variable with the database, also for the workers.
pub(crate) const DATABASE_URL: &str = "DATABASE_URL";

/// The database's name on a private server.
const NAME: &str = "notification_example";

/// A database with the example's table.
pub(crate) struct Database {
    url: String,
    conn: MysqlConnection,
    /// Ends on drop.
    _server: Option<Server>,
}

impl Database {
    /// The database of `DATABASE_URL`, or one on a private server.
    pub(crate) fn open(kind: ServerKind) -> Result<Self, DatabaseError> {
        let (url, server) = match std::env::var(DATABASE_URL) {
            Ok(url) => (url, None),
            Err(_) => {
                let server = private(kind)?;
                (server.url(NAME), Some(server))
            }
        };
        let mut conn = MysqlConnection::establish(&url).map_err(DatabaseError::Connect)?;
        let facts = diesel::select((
            sql::<Nullable<Text>>("DATABASE()"),
            sql::<Text>("VERSION()"),
        ));
        let (name, version): (Option<String>, String) =
            facts.first(&mut conn).map_err(DatabaseError::Prepare)?;
        let name = name.ok_or(DatabaseError::NoName)?;
        conn.run_pending_migrations(MIGRATIONS)
            .map_err(|source| DatabaseError::Migrate { name, source })?;
        println!("The database is ready: {version}.");
        Ok(Self {
            url,
            conn,
            _server: server,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// New notifications, none of them sent; gives their ids. Whatever else is in the table is
    /// left alone.
    pub(crate) fn insert(&mut self, count: u32) -> Result<Vec<i64>, DatabaseError> {
        self.conn
            .transaction(|conn| {
                (1..=count)
                    .map(|number| {
                        let message = format!("Hello world, this is notification {number}.");
                        diesel::insert_into(notifications::table)
                            .values(notifications::message.eq(message))
                            .execute(conn)?;
                        diesel::select(sql::<BigInt>("LAST_INSERT_ID()")).first(conn)
                    })
                    .collect()
            })
            .map_err(DatabaseError::Prepare)
    }
}

fn private(kind: ServerKind) -> Result<Server, DatabaseError> {
    println!(
        "Starting a private {kind} server in a temporary directory; it ends with this program."
    );
    let server = Server::start(kind)?;
    MysqlConnection::establish(&server.url(""))
        .map_err(DatabaseError::Connect)?
        .batch_execute(&format!("CREATE DATABASE {NAME}"))
        .map_err(DatabaseError::Prepare)?;
    Ok(server)
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error(
        "{0}\nOr set DATABASE_URL=mysql://user:password@host/database to use a server that is there."
    )]
    Start(#[from] StartError),

    #[error(
        "cannot connect to the database; check that the server of DATABASE_URL runs and that user, password, host and database are right, or unset it to start a private server"
    )]
    Connect(#[source] ConnectionError),

    #[error("DATABASE_URL names no database; write mysql://user:password@host/database")]
    NoName,

    #[error(
        "the table `notifications` cannot be made in the database `{name}`; if there is one of another program, name another database in DATABASE_URL"
    )]
    Migrate {
        name: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    #[error("the notifications cannot be prepared in the database")]
    Prepare(#[source] diesel::result::Error),
}
