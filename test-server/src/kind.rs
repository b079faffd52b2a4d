//! The kinds of server, and how each is run.

mod flags;
mod mariadb;
mod mysql;
mod postgres;
pub(crate) mod program;
pub(crate) mod tree;

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use crate::error::NotInstalled;
use crate::handshake;
use crate::handshake::postgres::Account;
use crate::server_dir::ServerDir;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerKind {
    Mariadb,
    Mysql,
    /// PostgreSQL of the system's packages: Debian 12 has version 15.
    Postgres,
    /// PostgreSQL 18, from Debian's sid.
    Postgres18,
}

impl ServerKind {
    pub const ALL: [Self; 4] = [Self::Mariadb, Self::Mysql, Self::Postgres, Self::Postgres18];

    /// Whether this is a PostgreSQL server.
    pub fn is_postgres(self) -> bool {
        matches!(self, Self::Postgres | Self::Postgres18)
    }

    /// Reads the name of a kind, like `parse`, and refuses those of PostgreSQL. It is the
    /// `value_parser` of programs that do not run on PostgreSQL.
    ///
    /// # Errors
    ///
    /// If the word is not the name of a kind, or that of PostgreSQL.
    pub fn parse_mysql(word: &str) -> Result<Self, String> {
        match word.parse() {
            Ok(kind) if Self::is_postgres(kind) => {
                Err("this program runs on MariaDB and MySQL, not on PostgreSQL".to_owned())
            }
            result => result.map_err(|error: UnknownKind| error.to_string()),
        }
    }

    /// Whether a server of this kind is installed on this machine.
    pub fn is_installed(self) -> bool {
        self.availability().is_ok()
    }

    /// Checks that a server of this kind is installed on this machine.
    ///
    /// # Errors
    ///
    /// If it is not. The message says in two lines what is missing and how to install it.
    pub fn availability(self) -> Result<(), NotInstalled> {
        self.engine().map(drop)
    }

    /// Returns the kind of the server at an address such as that of `DATABASE_URL`, from the
    /// version that it reports first.
    ///
    /// PostgreSQL 16 and later counts as [`Postgres18`](Self::Postgres18), an older version as
    /// [`Postgres`](Self::Postgres).
    ///
    /// # Errors
    ///
    /// If no server answers within ten seconds, or PostgreSQL refuses the account of the address.
    pub fn at_url(url: &str) -> io::Result<Self> {
        let postgres = Account::of_url(url);
        let default_port = if postgres.is_some() { 5432 } else { 3306 };
        let stream = TcpStream::connect(server_of(url, default_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        if let Some(account) = postgres {
            let version = handshake::postgres::version(stream, &account)?;
            return Ok(Self::of_postgres(&version));
        }
        let version = handshake::mysql::read(stream)?;
        Ok(if version.contains("MariaDB") {
            Self::Mariadb
        } else {
            Self::Mysql
        })
    }

    fn of_postgres(version: &str) -> Self {
        match postgres::major(version) {
            Some(16..) => Self::Postgres18,
            _ => Self::Postgres,
        }
    }

    pub(crate) fn engine(self) -> Result<Box<dyn Engine>, NotInstalled> {
        Ok(match self {
            Self::Mariadb => Box::new(mariadb::Mariadb::find()?),
            Self::Mysql => Box::new(mysql::Mysql::find()?),
            Self::Postgres => Box::new(postgres::Postgres::find()?),
            Self::Postgres18 => Box::new(postgres::Postgres::find_18()?),
        })
    }
}

/// Whether an address such as that of `DATABASE_URL` is one of PostgreSQL.
pub fn is_postgres_url(url: &str) -> bool {
    Account::of_url(url).is_some()
}

/// The host and port in an address.
fn server_of(url: &str, default_port: u16) -> String {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let server = rest.split(['/', '?']).next().unwrap_or_default();
    let (_, server) = server.rsplit_once('@').unwrap_or(("", server));
    let has_port = server
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match has_port {
        true => server.to_owned(),
        false => format!("{server}:{default_port}"),
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Postgres18 => "postgres18",
        })
    }
}

impl FromStr for ServerKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == word)
            .ok_or_else(|| UnknownKind(word.to_owned()))
    }
}

/// A word that is not the name of a kind of server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` is none of mariadb, mysql, postgres and postgres18")]
pub struct UnknownKind(String);

/// Whether MariaDB and its plugin `metadata_lock_info` are installed.
pub fn mariadb_has_plugin() -> bool {
    mariadb::Mariadb::find().is_ok_and(|mariadb| mariadb.plugins().is_some())
}

/// An installed server's programs.
pub(crate) trait Engine: Send + Sync {
    /// The version that the program reports.
    fn version(&self) -> &str;

    /// The command that creates a data directory at `data`. It has an account `root` without a
    /// password, over TCP and over the socket. `scratch` is an empty directory for other files.
    fn initialise(&self, data: &Path, scratch: &Path) -> io::Result<Command>;

    /// The command that serves the data of `server_dir` on a loopback port and on its socket.
    fn serve(&self, server_dir: &ServerDir, port: u16) -> Command;

    /// The user and group that run the server, if not those of this process. The server's files
    /// must belong to them.
    fn user(&self) -> Option<u32> {
        None
    }

    /// The Unix socket of a running server.
    fn socket(&self, server_dir: &ServerDir, _port: u16) -> PathBuf {
        server_dir.socket()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_of_an_address_has_its_port_or_the_default() {
        for (url, server) in [
            ("mysql://root@127.0.0.1:3307/app", "127.0.0.1:3307"),
            (
                "mysql://me:p%40ss@db.example/app?ssl_mode=required",
                "db.example:3306",
            ),
            ("mysql://[::1]/app", "[::1]:3306"),
            ("mysql://[::1]:3307", "[::1]:3307"),
        ] {
            assert_eq!(server_of(url, 3306), server, "{url}");
        }
    }

    #[test]
    fn address_of_postgres_is_known_by_its_scheme() {
        assert!(is_postgres_url("postgres://me@db.example/app"));
        assert!(is_postgres_url("postgresql://db.example"));
        assert!(!is_postgres_url("mysql://me@db.example/postgres"));
    }

    #[test]
    fn postgres_counts_as_18_from_16_on() {
        for (version, kind) in [
            ("15.18 (Debian 15.18-0+deb12u1)", ServerKind::Postgres),
            ("16.0", ServerKind::Postgres18),
            ("18.1 (Debian 18.1-2)", ServerKind::Postgres18),
        ] {
            assert_eq!(ServerKind::of_postgres(version), kind, "{version}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for kind in ServerKind::ALL {
            assert_eq!(kind.to_string().parse::<ServerKind>().ok(), Some(kind));
        }
        let error = "MySQL".parse::<ServerKind>().expect_err("an unknown word");
        assert_eq!(
            error.to_string(),
            "`MySQL` is none of mariadb, mysql, postgres and postgres18"
        );
    }
}
