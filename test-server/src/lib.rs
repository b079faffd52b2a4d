//! Private servers for the tests: real ones, in a temporary directory, on a free loopback port.
//!
//! [`Server::start`] starts one, [`Server::shared`] gives the one that a process shares among its
//! tests. A server ends, and its directory goes, when its [`Server`] is dropped and also when the
//! process that started it dies, however it dies.
//!
//! A [`Proxy`] in front of it delays the network, stalls it and cuts connections.
//!
//! Nothing here speaks the MySQL protocol beyond the server's handshake, so the crate builds
//! without a client library. `cargo xtask` relies on that.

mod cache;
mod error;
mod galera;
mod group;
mod handshake;
mod kind;
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
pub use kind::{ServerKind, UnknownKind, mariadb_has_plugin, mariadb_plugins};
pub use proxy::Proxy;
pub use server::Server;
pub use under_test::{kinds_under_test, url_under_test};
