//! The project's programs. They start a server themselves: install what they need, build, run.

use std::env;

use anyhow::{Result, bail};
use test_server::{ServerKind, is_postgres_url};

use crate::cargo::{POSTGRES, cargo};
use crate::install::{self, Need};
use crate::step;

pub(crate) struct Program {
    name: &'static str,
    /// What cargo builds.
    target: &'static [&'static str],
    /// Whether it uses the server of DATABASE_URL if that is set.
    takes_url: bool,
    /// Whether it has a feature for each client library, and needs only one of them.
    has_backend_features: bool,
}

pub(crate) const DEMO: Program = Program {
    name: "the example",
    target: &["--package", "notification"],
    takes_url: true,
    has_backend_features: true,
};

pub(crate) const BENCH: Program = Program {
    name: "the benchmarks",
    target: &["--release", "--package", "benches"],
    takes_url: false,
    has_backend_features: false,
};

pub(crate) const STRESS: Program = Program {
    name: "the stress test",
    target: &["--release", "--package", "stress"],
    takes_url: false,
    has_backend_features: false,
};

/// What a program is built with, and what it needs on the machine.
#[derive(Debug, PartialEq)]
struct Build {
    features: &'static [&'static str],
    needs: Vec<Need>,
}

impl Program {
    /// `url` is DATABASE_URL, if it is set.
    fn build(&self, server: ServerKind, url: Option<&str>) -> Build {
        let url = url.filter(|_| self.takes_url);
        let is_postgres = url.map_or(server.is_postgres(), is_postgres_url);
        let (features, library): (&[_], _) = if self.has_backend_features && is_postgres {
            let features = &["--no-default-features", "--features", POSTGRES];
            (features, Need::PostgresLibrary)
        } else {
            (&[], Need::MysqlLibrary)
        };
        let mut needs = vec![library];
        if url.is_none() {
            needs.push(Need::Server(server));
        }
        Build { features, needs }
    }
}

/// Runs a program with the arguments after the verb.
pub(crate) fn run(program: &Program, server: ServerKind) -> Result<()> {
    let url = env::var_os("DATABASE_URL");
    let url = url.as_ref().map(|url| url.to_string_lossy());
    let Build { features, needs } = program.build(server, url.as_deref());
    install::ensure(&needs)?;
    let mut build = cargo("build");
    step::run(
        &format!("build {}", program.name),
        build.args(program.target).args(features),
    )?;
    let status = cargo("run")
        .arg("--quiet")
        .args(program.target)
        .args(features)
        .arg("--")
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
        assert!(build.features.contains(&POSTGRES), "{build:?}");

        let kind = ServerKind::Mysql;
        let build = DEMO.build(kind, None);
        assert_eq!(build.needs, [Need::MysqlLibrary, Need::Server(kind)]);
        assert!(build.features.is_empty(), "{build:?}");
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
