//! The project's programs. They start a server themselves: install what they need, build, run.

use std::env;

use anyhow::{Result, bail};
use test_server::{ServerKind, is_postgres_url};

use crate::cargo::{POSTGRES, cargo};
use crate::install::{self, Need};
use crate::step;

pub(crate) struct Program {
    name: &'static str,
    /// What cargo builds for MariaDB and MySQL.
    target: &'static [&'static str],
    /// What cargo builds for PostgreSQL.
    postgres_target: &'static [&'static str],
    /// The client libraries for MariaDB and MySQL.
    mysql_libraries: &'static [Need],
    /// The client libraries for PostgreSQL.
    postgres_libraries: &'static [Need],
    /// Whether it uses the server of DATABASE_URL if that is set.
    takes_url: bool,
    /// Its arguments before those of the command.
    arguments: &'static [&'static str],
}

pub(crate) const DEMO: Program = Program {
    name: "the example",
    target: &["--package", "notification"],
    postgres_target: &[
        "--package",
        "notification",
        "--no-default-features",
        "--features",
        POSTGRES,
    ],
    mysql_libraries: &[Need::MysqlLibrary],
    postgres_libraries: &[Need::PostgresLibrary],
    takes_url: true,
    arguments: &[],
};

/// diesel-async needs no client library.
pub(crate) const DEMO_ASYNC: Program = Program {
    name: "the async example",
    target: &["--package", "axum_wallet"],
    postgres_target: &[
        "--package",
        "axum_wallet",
        "--no-default-features",
        "--features",
        POSTGRES,
    ],
    mysql_libraries: &[],
    postgres_libraries: &[],
    takes_url: true,
    arguments: &["load"],
};

pub(crate) const BENCH: Program = Program {
    name: "the benchmarks",
    target: &["--release", "--package", "benches"],
    postgres_target: &["--release", "--package", "benches", "--features", POSTGRES],
    mysql_libraries: &[Need::MysqlLibrary],
    postgres_libraries: &Need::CLIENT_LIBRARIES,
    takes_url: false,
    arguments: &[],
};

pub(crate) const STRESS: Program = Program {
    name: "the stress test",
    target: &[
        "--release",
        "--package",
        "stress",
        "--bin",
        "stress",
        "--features",
        "async",
    ],
    postgres_target: &[
        "--release",
        "--package",
        "stress",
        "--bin",
        "stress-postgres",
        "--features",
        "async,postgres",
    ],
    mysql_libraries: &[Need::MysqlLibrary],
    postgres_libraries: &Need::CLIENT_LIBRARIES,
    takes_url: false,
    arguments: &[],
};

/// What a program is built with, and what it needs on the machine.
#[derive(Debug, PartialEq)]
struct Build {
    target: &'static [&'static str],
    needs: Vec<Need>,
}

impl Program {
    /// `url` is DATABASE_URL, if it is set.
    fn build(&self, server: ServerKind, url: Option<&str>) -> Build {
        let url = url.filter(|_| self.takes_url);
        let (target, libraries) = match url.map_or(server.is_postgres(), is_postgres_url) {
            true => (self.postgres_target, self.postgres_libraries),
            false => (self.target, self.mysql_libraries),
        };
        let mut needs = libraries.to_vec();
        if url.is_none() {
            needs.push(Need::Server(server));
        }
        Build { target, needs }
    }
}

/// Runs a program with the arguments after the verb.
pub(crate) fn run(program: &Program, server: ServerKind) -> Result<()> {
    let url = env::var_os("DATABASE_URL");
    let url = url.as_ref().map(|url| url.to_string_lossy());
    let Build { target, needs } = program.build(server, url.as_deref());
    install::ensure(&needs)?;
    let mut build = cargo("build");
    step::run(&format!("build {}", program.name), build.args(target))?;
    let status = cargo("run")
        .arg("--quiet")
        .args(target)
        .arg("--")
        .args(program.arguments)
        .args(env::args_os().skip(2))
        .status()?;
    if !status.success() {
        bail!("{} failed ({status})", program.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_needs_only_the_client_library_of_its_server() {
        let kind = ServerKind::Postgres18;
        let build = DEMO.build(kind, None);
        assert_eq!(
            build.needs,
            [Need::PostgresLibrary, Need::Server(kind)],
            "{build:?}"
        );
        assert!(build.target.contains(&POSTGRES), "{build:?}");

        let kind = ServerKind::Mysql;
        let build = DEMO.build(kind, None);
        assert_eq!(build.needs, [Need::MysqlLibrary, Need::Server(kind)]);
        assert!(!build.target.contains(&POSTGRES), "{build:?}");
    }

    #[test]
    fn async_demo_needs_no_client_library() {
        for kind in [ServerKind::Mariadb, ServerKind::Postgres] {
            let build = DEMO_ASYNC.build(kind, None);
            assert_eq!(build.needs, [Need::Server(kind)], "{build:?}");
        }
    }

    #[test]
    fn demo_at_a_url_needs_no_server() {
        let url = Some("postgres://root@127.0.0.1/app");
        let build = DEMO.build(ServerKind::Mariadb, url);
        assert_eq!(build.needs, [Need::PostgresLibrary]);
        let build = DEMO.build(ServerKind::Postgres, Some("mysql://root@127.0.0.1/app"));
        assert_eq!(build.needs, [Need::MysqlLibrary]);
        let build = STRESS.build(ServerKind::Mysql, url);
        assert_eq!(
            build.needs,
            [Need::MysqlLibrary, Need::Server(ServerKind::Mysql)]
        );
    }
}
