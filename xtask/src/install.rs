//! What the project needs on the machine, and how it gets there.
//!
//! A linker is not in the list: this very program was linked.

mod apt;
mod mariadb;
mod mysql;
mod root;
mod sources;

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use test_server::{Galera, ServerKind};

use apt::Apt;
use root::Root;

/// Something that has to be there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Need {
    ClientLibrary,
    Server(ServerKind),
    /// MariaDB's, which tells who holds which lock.
    Plugin,
    /// Makes a cluster of MariaDB's servers.
    Galera,
    /// Counts instructions.
    Valgrind,
}

impl Need {
    /// All that tests on these servers need.
    pub(crate) fn all(kinds: &[ServerKind]) -> Vec<Self> {
        let servers = kinds.iter().flat_map(|&kind| match kind {
            ServerKind::Mariadb => vec![Self::Server(kind), Self::Plugin, Self::Galera],
            ServerKind::Mysql => vec![Self::Server(kind)],
        });
        [Self::ClientLibrary, Self::Valgrind]
            .into_iter()
            .chain(servers)
            .collect()
    }

    /// Asks for the thing itself, however it was installed, not for a package.
    fn is_met(self) -> bool {
        match self {
            Self::ClientLibrary => client_library_is_found(),
            Self::Server(kind) => kind.is_installed(),
            Self::Plugin => test_server::mariadb_has_plugin(),
            Self::Galera => Galera::availability().is_ok(),
            Self::Valgrind => runs("valgrind", &["--version"]),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ClientLibrary => "the MySQL client library with its headers",
            Self::Server(ServerKind::Mariadb) => "MariaDB's server",
            Self::Server(ServerKind::Mysql) => "MySQL's server",
            Self::Plugin => "MariaDB's plugin metadata_lock_info",
            Self::Galera => "Galera's library",
            Self::Valgrind => "valgrind",
        }
    }

    /// What someone without apt has to install, by the names of Debian's packages.
    fn remedy(self) -> &'static str {
        match self {
            Self::ClientLibrary => "libmariadb-dev and pkg-config",
            Self::Server(ServerKind::Mariadb) => "mariadb-server",
            Self::Server(ServerKind::Mysql) => "a mysqld of version 8 or later",
            Self::Plugin => "mariadb-server",
            Self::Galera => "galera-4",
            Self::Valgrind => "valgrind",
        }
    }

    fn install(self, apt: &mut Apt, root: Root) -> Result<()> {
        match self {
            Self::ClientLibrary => apt.install(&["libmariadb-dev", "pkg-config"]),
            // The programs alone: nothing that would run at the machine's next start. Older
            // Ubuntu has no such packages without a version in their names.
            Self::Server(ServerKind::Mariadb) => apt.install_first(&[
                &["mariadb-server-core", "mariadb-client-core"],
                &["mariadb-server"],
            ]),
            Self::Server(ServerKind::Mysql) => mysql::install(apt, root),
            Self::Plugin => mariadb::install_plugin(apt),
            Self::Galera => apt.install(&["galera-4"]),
            Self::Valgrind => apt.install(&["valgrind"]),
        }
    }
}

/// Installs what the tests on these servers need.
pub(crate) fn setup(kinds: &[ServerKind]) -> Result<()> {
    ensure(&Need::all(&or_default(kinds)))?;
    eprintln!("==> everything is installed");
    Ok(())
}

/// The kinds asked for, each once; MariaDB if there are none.
pub(crate) fn or_default(asked: &[ServerKind]) -> Vec<ServerKind> {
    let mut kinds = Vec::new();
    for &kind in if asked.is_empty() {
        &[ServerKind::Mariadb]
    } else {
        asked
    } {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Installs what is missing. Where that is not possible, the error says in two lines what is
/// missing and what to do.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    install_missing(needs)?;
    refuse_broken_client_library()
}

/// MariaDB Connector/C 3.3.19 gives every text back as an empty one through Diesel; 3.3.20 does not (measured).
fn refuse_broken_client_library() -> Result<()> {
    if runs("pkg-config", &["--exists", "libmariadb = 3.3.19"]) {
        bail!(
            "This machine's libmariadb 3.3.19 gives back every text as an empty one, and no test can pass with it.\n\
             Upgrade libmariadb3 and libmariadb-dev; on Debian, the security updates have a later one \
             (`deb http://deb.debian.org/debian-security bookworm-security main`)."
        );
    }
    Ok(())
}

fn install_missing(needs: &[Need]) -> Result<()> {
    let missing: Vec<_> = needs
        .iter()
        .copied()
        .filter(|need| !need.is_met())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(root) = Root::obtain().filter(|_| apt::is_here()) else {
        bail!(advice(&missing));
    };
    let mut apt = Apt::new(root);
    for need in missing {
        need.install(&mut apt, root)?;
        if !need.is_met() {
            bail!("{} was installed, but is not found", need.name());
        }
    }
    Ok(())
}

fn advice(missing: &[Need]) -> String {
    let names: Vec<_> = missing.iter().map(|need| need.name()).collect();
    let remedies: Vec<_> = missing.iter().map(|need| need.remedy()).collect();
    let url = if missing.iter().any(|need| matches!(need, Need::Server(_))) {
        "; or set DATABASE_URL to a server that is already there"
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

/// Whether the build script of mysqlclient-sys will find the library.
fn client_library_is_found() -> bool {
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
    fn the_advice_has_two_lines() {
        let needs = Need::all(&ServerKind::ALL);
        assert_eq!(needs.len(), 6);
        let advice = advice(&needs);
        assert_eq!(advice.lines().count(), 2, "{advice}");
        assert!(
            advice.contains("libmariadb-dev") && advice.contains("DATABASE_URL"),
            "{advice}"
        );
    }

    #[test]
    fn a_url_is_no_advice_where_only_the_library_is_missing() {
        let advice = advice(&[Need::ClientLibrary]);
        assert_eq!(advice.lines().count(), 2, "{advice}");
        assert!(!advice.contains("DATABASE_URL"), "{advice}");
    }
}
