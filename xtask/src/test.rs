//! `cargo xtask test`: every test, or those that are selected, on every server asked for.
//!
//! A case of `#[server_test]` is a test for each kind of server. Those of kinds that were not asked
//! for are skipped by their names; other tests read `TEST_SERVERS`.

mod needs;
mod selection;

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use test_server::ServerKind;

use crate::cargo::{cargo_packages, cargo_workspace};
use crate::install::{self, Need};
use crate::step;
use selection::Selection;

pub(crate) fn run(servers: &[ServerKind], arguments: &[String]) -> Result<()> {
    let since = Instant::now();
    let target = Target::choose(servers, env::var("DATABASE_URL").ok())?;
    let selection = Selection::parse(arguments);
    let selection = selection.as_ref();
    install::ensure(&target.needs(selection))?;

    let mut tests = match selection.map_or(&[][..], Selection::packages) {
        [] => cargo_workspace("test"),
        packages => cargo_packages("test", packages),
    };
    target.set_variables(&mut tests);
    tests.args(arguments);
    let skipped = target.skipped_names();
    if !skipped.is_empty() && !arguments.iter().any(|argument| argument == "--") {
        tests.arg("--");
    }
    for name in skipped {
        tests.args(["--skip", &name]);
    }
    step::run(&format!("cargo test on {}", target.name()), &mut tests)?;

    let time = step::readable(since.elapsed());
    eprintln!("==> all tests passed on {} in {time}", target.name());
    Ok(())
}

/// What the tests run against.
#[derive(Debug, PartialEq)]
enum Target {
    /// Private servers.
    Kinds(Vec<ServerKind>),
    /// The server of `DATABASE_URL`, which is of this kind. Nothing is installed.
    Url(ServerKind),
}

impl Target {
    fn choose(asked: &[ServerKind], url: Option<String>) -> Result<Self> {
        Ok(match url.filter(|_| asked.is_empty()) {
            Some(url) => {
                Self::Url(ServerKind::at_url(&url).context("no server answers at DATABASE_URL")?)
            }
            None => Self::Kinds(install::or_default(asked)),
        })
    }

    fn needs(&self, selection: Option<&Selection>) -> Vec<Need> {
        match self {
            Self::Kinds(kinds) => needs::of_tests(Need::all(kinds), selection),
            Self::Url(_) => Vec::new(),
        }
    }

    /// Parts of the names of those tests of `#[server_test]` that must not run. No other test has
    /// them in its name.
    fn skipped_names(&self) -> Vec<String> {
        let own_server = |kind: ServerKind| format!("::{kind}_own_server");
        let of_kind = |kind: ServerKind| [format!("::{kind}_server"), own_server(kind)];
        let of_others = |kinds: &[ServerKind]| {
            let others = ServerKind::ALL
                .into_iter()
                .filter(|kind| !kinds.contains(kind));
            others.flat_map(of_kind).collect::<Vec<_>>()
        };
        match self {
            Self::Kinds(kinds) => of_others(kinds),
            Self::Url(kind) => [of_others(&[*kind]), vec![own_server(*kind)]].concat(),
        }
    }

    fn set_variables(&self, tests: &mut Command) {
        match self {
            // A server that was not asked for must not be touched.
            Self::Kinds(_) => tests
                .env_remove("DATABASE_URL")
                .env("TEST_SERVERS", self.words()),
            Self::Url(_) => tests.env("TEST_SERVERS", self.words()),
        };
    }

    /// In the words of `TEST_SERVERS`.
    fn words(&self) -> String {
        match self {
            Self::Kinds(kinds) => {
                let words: Vec<_> = kinds.iter().map(ServerKind::to_string).collect();
                words.join(",")
            }
            Self::Url(_) => "url".to_owned(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Kinds(_) => self.words().replace(',', " and "),
            Self::Url(kind) => format!("the server of DATABASE_URL ({kind})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(asked: &[ServerKind]) -> Target {
        Target::choose(asked, None).expect("a target")
    }

    #[test]
    fn mariadb_is_the_default() {
        let target = private(&[]);
        assert_eq!(target, Target::Kinds(vec![ServerKind::Mariadb]));
        assert_eq!(target.words(), "mariadb");
    }

    #[test]
    fn url_is_used_unless_servers_are_asked_for() {
        assert!(Target::Url(ServerKind::Mysql).needs(None).is_empty());
        let nowhere = || Some("mysql://root@127.0.0.1:1/none".to_owned());
        Target::choose(&[], nowhere()).expect_err("no server is there");
        let target = Target::choose(&[ServerKind::Mysql], nowhere()).expect("a target");
        assert_eq!(target, Target::Kinds(vec![ServerKind::Mysql]));
    }

    #[test]
    fn server_asked_for_twice_is_tested_once() {
        let target = private(&[ServerKind::Mariadb, ServerKind::Mysql, ServerKind::Mariadb]);
        assert_eq!(target.words(), "mariadb,mysql");
        assert_eq!(target.name(), "mariadb and mysql");
    }

    #[test]
    fn tests_on_other_servers_are_skipped() {
        let skips = |target: &Target, name: &str| {
            let skipped = target.skipped_names();
            skipped.iter().any(|part| name.contains(part))
        };
        let mariadb = private(&[]);
        assert!(skips(&mariadb, "suite::faults::one::mysql_server"));
        assert!(skips(&mariadb, "clusters::one::mysql_own_server"));
        assert!(!skips(&mariadb, "suite::faults::one::mariadb_server"));
        assert!(!skips(&mariadb, "clusters::one::mariadb_own_server"));
        assert!(!skips(&mariadb, "backend::mysql::error_code::tests::one"));
        assert!(private(&ServerKind::ALL).skipped_names().is_empty());

        let url = Target::Url(ServerKind::Mysql);
        assert!(skips(&url, "suite::faults::one::mariadb_server"));
        assert!(skips(&url, "clusters::one::mysql_own_server"));
        assert!(!skips(&url, "suite::faults::one::mysql_server"));
    }
}
