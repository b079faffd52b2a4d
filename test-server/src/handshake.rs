//! The beginning of a session in each server's protocol, which shows that the server is ready.

pub(crate) mod mysql;
pub(crate) mod postgres;

use std::io::{self, Read, Write};

use crate::kind::ServerKind;
use postgres::Account;

/// Returns the version that a private server of this kind reports.
pub(crate) fn version(kind: ServerKind, stream: impl Read + Write) -> io::Result<String> {
    match kind {
        ServerKind::Mariadb | ServerKind::Mysql => mysql::read(stream),
        ServerKind::Postgres | ServerKind::Postgres18 => {
            postgres::version(stream, &Account::default())
        }
    }
}
