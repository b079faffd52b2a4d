//! Private MariaDB, MySQL and PostgreSQL servers for the tests.
//!
//! [`Server::start`] starts a server in a temporary directory, on a free loopback port.
//! [`Server::shared`] returns the server that all tests of a process share. A server ends, and its
//! directory is removed, when its [`Server`] is dropped, and when the process that started it dies.
//!
//! A [`Proxy`] in front of a server delays the network, stalls it and cuts connections.
//!
//! [`PgBouncer`] is a pool of sessions in front of a PostgreSQL server.
//!
//! The crate reads only the first messages of the servers' protocols, so it builds without a client
//! library. `cargo xtask` relies on that.

mod cache;
mod error;
mod galera;
mod group;
mod handshake;
mod kind;
mod pgbouncer;
mod port;
mod process;
mod proxy;
mod server;
mod server_dir;
mod supervisor;
mod template;
mod under_test;

pub use cache::{cache_dir, mysql_tree};
pub use error::{NotInstalled, StartError};
pub use galera::Galera;
pub use group::Group;
pub use kind::{ServerKind, UnknownKind, is_postgres_url, mariadb_has_plugin};
pub use pgbouncer::{PgBouncer, PoolMode};
pub use proxy::Proxy;
pub use server::Server;
pub use under_test::{kinds_under_test, mysql_kinds_under_test, url_under_test};
