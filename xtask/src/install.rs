//! What the tests need on the machine. `install.sh` installs what is missing.
//!
//! A linker is not in the list: this program was linked.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use test_server::{Galera, PgBouncer, ServerKind, cache_dir};

use crate::cargo::Backends;
use crate::step;

/// Something that tests need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Need {
    /// The client library of MariaDB and MySQL, which the whole workspace is linked to.
    MysqlLibrary,
    /// The client library of PostgreSQL.
    PostgresLibrary,
    /// With MariaDB's plugin that reports which session holds which lock.
    Server(ServerKind),
    /// Joins MariaDB servers into a cluster.
    Galera,
    /// Shares the sessions of a PostgreSQL server.
    PgBouncer,
    /// Counts instructions.
    Valgrind,
    /// Runs `docs/lock-names.py`, which the library's names are compared with.
    Python,
}

impl Need {
    /// What the library needs with all its features.
    pub(crate) const CLIENT_LIBRARIES: [Self; 2] = [Self::MysqlLibrary, Self::PostgresLibrary];

    /// What it takes to compile the tests on these servers.
    pub(crate) fn libraries(kinds: &[ServerKind]) -> Vec<Self> {
        let mut needs = Self::CLIENT_LIBRARIES.to_vec();
        if Backends::of(kinds) == Backends::Mysql {
            needs.retain(|need| *need != Self::PostgresLibrary);
        }
        needs
    }

    /// All that tests on these servers need.
    pub(crate) fn all(kinds: &[ServerKind]) -> Vec<Self> {
        let mut needs = Self::libraries(kinds);
        needs.extend([Self::Valgrind, Self::Python]);
        needs.extend(kinds.iter().map(|&kind| Self::Server(kind)));
        if kinds.contains(&ServerKind::Mariadb) {
            needs.push(Self::Galera);
        }
        if Backends::of(kinds) == Backends::All {
            needs.push(Self::PgBouncer);
        }
        needs
    }

    /// Looks for the thing itself and not for a package: it may have been installed in another way.
    fn is_met(self) -> bool {
        match self {
            Self::MysqlLibrary => mysql_library_is_found(),
            Self::PostgresLibrary => postgres_library_is_found(),
            Self::Server(ServerKind::Mariadb) => test_server::mariadb_has_plugin(),
            Self::Server(kind) => kind.is_installed(),
            Self::Galera => Galera::availability().is_ok(),
            Self::PgBouncer => PgBouncer::availability().is_ok(),
            Self::Valgrind => runs("valgrind", &["--version"]),
            Self::Python => runs("python3", &["--version"]),
        }
    }

    /// What is missing, and what to install without apt, by the names of Debian's packages.
    fn name_and_remedy(self) -> (&'static str, &'static str) {
        match self {
            Self::MysqlLibrary => (
                "the MySQL client library with its headers",
                "libmariadb-dev and pkg-config",
            ),
            Self::PostgresLibrary => (
                "the PostgreSQL client library with its headers",
                "libpq-dev and pkg-config",
            ),
            Self::Server(ServerKind::Mariadb) => (
                "MariaDB's server with the plugin metadata_lock_info",
                "mariadb-server",
            ),
            Self::Server(ServerKind::Mysql) => ("MySQL's server", "a mysqld of version 8 or later"),
            Self::Server(ServerKind::Postgres) => ("PostgreSQL's server", "postgresql"),
            Self::Server(ServerKind::Postgres18) => {
                ("PostgreSQL's server of version 18", "postgresql-18")
            }
            Self::Galera => ("Galera's library", "galera-4"),
            Self::PgBouncer => ("PgBouncer", "pgbouncer"),
            Self::Valgrind => ("valgrind", "valgrind"),
            Self::Python => ("Python", "python3"),
        }
    }

    /// The arguments of `install.sh`.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::MysqlLibrary => &["libmariadb-dev", "pkg-config"],
            Self::PostgresLibrary => &["libpq-dev", "pkg-config"],
            Self::Server(ServerKind::Mariadb) => &["mariadb"],
            Self::Server(ServerKind::Mysql) => &["mysql"],
            Self::Server(ServerKind::Postgres) => &["postgres"],
            Self::Server(ServerKind::Postgres18) => &["postgres18"],
            Self::Galera => &["galera-4"],
            Self::PgBouncer => &["pgbouncer"],
            Self::Valgrind => &["valgrind"],
            Self::Python => &["python3"],
        }
    }
}

/// Installs what the tests on these servers need.
pub(crate) fn setup(kinds: &[ServerKind]) -> Result<()> {
    ensure(&Need::all(&or_default(kinds)))?;
    eprintln!("==> everything is installed");
    Ok(())
}

/// The given kinds, each once; MariaDB if none is given.
pub(crate) fn or_default(given: &[ServerKind]) -> Vec<ServerKind> {
    let given = if given.is_empty() {
        &[ServerKind::Mariadb]
    } else {
        given
    };
    let mut kinds = Vec::new();
    for &kind in given {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Installs what is missing. If that is impossible, the error says in two lines what is missing and
/// what to do.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing = unmet(needs);
    if !missing.is_empty() {
        let is_root = rustix::process::geteuid().is_root() || runs("sudo", &["-n", "true"]);
        if !is_root || !runs("apt-get", &["--version"]) {
            bail!(advice(&missing));
        }
        let names: Vec<_> = missing
            .iter()
            .map(|need| need.name_and_remedy().0)
            .collect();
        let mut install = Command::new("bash");
        install
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"))
            .arg(cache_dir())
            .args(missing.iter().flat_map(|need| need.packages()));
        let title = format!("install {} with apt-get", names.join(", "));
        step::run_quietly(&title, &mut install, &cache_dir().join("install.log"))?;
        let missing = unmet(&missing);
        if !missing.is_empty() {
            bail!("The installation succeeded, but {missing:?} cannot be found.");
        }
    }
    refuse_broken_client_library()
}

fn unmet(needs: &[Need]) -> Vec<Need> {
    needs
        .iter()
        .copied()
        .filter(|need| !need.is_met())
        .collect()
}

/// MariaDB Connector/C 3.3.19 returns every text as an empty one through Diesel; 3.3.20 does not.
fn refuse_broken_client_library() -> Result<()> {
    if runs("pkg-config", &["--exists", "libmariadb = 3.3.19"]) {
        bail!(
            "libmariadb 3.3.19 returns every text as an empty one, and no test can pass with it.\n\
             Upgrade libmariadb3 and libmariadb-dev. Debian's security updates have a later \
             version (`deb http://deb.debian.org/debian-security bookworm-security main`)."
        );
    }
    Ok(())
}

fn advice(missing: &[Need]) -> String {
    let (names, remedies): (Vec<_>, Vec<_>) =
        missing.iter().map(|need| need.name_and_remedy()).unzip();
    let url = if missing.iter().any(|need| matches!(need, Need::Server(_))) {
        ", or set DATABASE_URL to a running server"
    } else {
        ""
    };
    format!(
        "Missing: {}. Installing needs apt-get, and root or sudo without a password.\n\
         Install {} yourself{url}.",
        names.join(", "),
        remedies.join(", "),
    )
}

/// Whether the build script of pq-sys will find the library.
fn postgres_library_is_found() -> bool {
    runs("pkg-config", &["--exists", "libpq"])
        || env::var_os("PQ_LIB_DIR").is_some()
        || runs("pg_config", &["--libdir"])
}

/// Whether the build script of mysqlclient-sys will find the library.
fn mysql_library_is_found() -> bool {
    runs("pkg-config", &["--exists", "mysqlclient"])
        || runs("pkg-config", &["--exists", "libmariadb"])
        || env::var_os("MYSQLCLIENT_LIB_DIR").is_some()
        || runs("mysql_config", &["--libs"])
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_packages_and_the_variable_for_a_server() {
        let all = advice(&Need::all(&ServerKind::ALL));
        assert_eq!(all.lines().count(), 2, "{all}");
        assert!(
            all.contains("libmariadb-dev") && all.contains("DATABASE_URL"),
            "{all}"
        );
        let library = advice(&[Need::MysqlLibrary]);
        assert!(!library.contains("DATABASE_URL"), "{library}");
    }

    #[test]
    fn tests_on_mariadb_and_mysql_need_nothing_of_postgres() {
        let needs = Need::all(&[ServerKind::Mariadb, ServerKind::Mysql]);
        assert!(!needs.contains(&Need::PostgresLibrary), "{needs:?}");
        assert!(!needs.contains(&Need::PgBouncer), "{needs:?}");
        let needs = Need::all(&[ServerKind::Postgres18]);
        assert!(needs.contains(&Need::PostgresLibrary), "{needs:?}");
        assert!(needs.contains(&Need::PgBouncer), "{needs:?}");
        assert!(!needs.contains(&Need::Galera), "{needs:?}");
    }
}
