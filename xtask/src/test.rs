//! `cargo xtask test`: every test, or those that are selected, on every server asked for.

mod needs;
mod selection;

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use test_server::Kind;

use crate::cargo::{LIBRARY, cargo_packages, cargo_workspace};
use crate::install::{self, Need};
use crate::step;
use selection::Selection;

pub(crate) fn run(servers: &[Kind], arguments: &[String]) -> Result<()> {
    let since = Instant::now();
    let target = Target::choose(servers, env::var_os("DATABASE_URL").is_some());
    let selection = Selection::parse(arguments);
    let selection = selection.as_ref();
    install::ensure(&target.needs(selection))?;

    // These tests run the examples. `cargo test` builds them too, unless it runs some tests only.
    if selection.is_none_or(|selection| selection.includes_target(LIBRARY, "servers")) {
        let mut examples = cargo_workspace("build");
        step::run("build the examples", examples.arg("--examples"))?;
    }
    let mut tests = match selection.map_or(&[][..], Selection::packages) {
        [] => cargo_workspace("test"),
        packages => cargo_packages("test", packages),
    };
    target.tell(&mut tests);
    step::run(
        &format!("cargo test on {}", target.name()),
        tests.args(arguments),
    )?;

    let time = step::readable(since.elapsed());
    eprintln!("==> all tests passed on {} in {time}", target.name());
    Ok(())
}

/// What the tests run against.
#[derive(Debug, PartialEq)]
enum Target {
    /// Private servers.
    Kinds(Vec<Kind>),
    /// The server of `DATABASE_URL`, to which nothing is installed.
    Url,
}

impl Target {
    fn choose(asked: &[Kind], url_is_set: bool) -> Self {
        if asked.is_empty() && url_is_set {
            Self::Url
        } else {
            Self::Kinds(install::or_default(asked))
        }
    }

    fn needs(&self, selection: Option<&Selection>) -> Vec<Need> {
        match self {
            Self::Kinds(kinds) => needs::of_tests(Need::all(kinds), selection),
            Self::Url => Vec::new(),
        }
    }

    fn tell(&self, tests: &mut Command) {
        match self {
            // A server that was not asked for must not be touched.
            Self::Kinds(_) => tests
                .env_remove("DATABASE_URL")
                .env("TEST_SERVERS", self.words()),
            Self::Url => tests.env("TEST_SERVERS", self.words()),
        };
    }

    /// In the words of `TEST_SERVERS`.
    fn words(&self) -> String {
        match self {
            Self::Kinds(kinds) => {
                let words: Vec<_> = kinds.iter().map(Kind::to_string).collect();
                words.join(",")
            }
            Self::Url => "url".to_owned(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Kinds(_) => self.words().replace(',', " and "),
            Self::Url => "the server of DATABASE_URL".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadb_is_the_default() {
        let target = Target::choose(&[], false);
        assert_eq!(target, Target::Kinds(vec![Kind::Mariadb]));
        assert_eq!(target.words(), "mariadb");
    }

    #[test]
    fn a_url_is_used_unless_servers_are_asked_for() {
        assert_eq!(Target::choose(&[], true), Target::Url);
        assert!(Target::Url.needs(None).is_empty());
        let target = Target::choose(&[Kind::Mysql], true);
        assert_eq!(target, Target::Kinds(vec![Kind::Mysql]));
    }

    #[test]
    fn a_server_asked_for_twice_is_tested_once() {
        let target = Target::choose(&[Kind::Mariadb, Kind::Mysql, Kind::Mariadb], false);
        assert_eq!(target.words(), "mariadb,mysql");
        assert_eq!(target.name(), "mariadb and mysql");
    }
}
