//! `cargo xtask test`: every test, or the selected ones, on every server asked for.
//!
//! A case of `#[server_test]` is a test for each kind of server. Tests of kinds that were not asked
//! for are skipped by their names. Other tests read `TEST_SERVERS`.

mod needs;

use std::env;
use std::io::{self, Read};
use std::num::NonZero;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use test_server::ServerKind;

use crate::cargo::{Backends, LIBRARY, PUBLIC_API, cargo_packages, cargo_workspace};
use crate::install::{self, Need};
use crate::step;
use needs::Test;

/// Arguments with which `cargo test` runs no test.
const NO_RUN: [&str; 4] = ["--help", "-h", "--list", "--no-run"];

/// The variable with the number of tests that a test program runs at the same time.
const THREADS: &str = "RUST_TEST_THREADS";

pub(crate) fn run(servers: &[ServerKind], arguments: &[String]) -> Result<()> {
    let since = Instant::now();
    let target = Target::choose(servers, env::var("DATABASE_URL").ok())?;
    install::ensure(&target.needs(arguments)?)?;
    let mut tests = target.cargo_test(arguments, &[]);
    step::run(&format!("cargo test on {}", target.name()), &mut tests)?;

    let time = step::readable(since.elapsed());
    eprintln!("==> all tests passed on {} in {time}", target.name());
    Ok(())
}

/// Runs every test on private servers of all kinds, which are installed. xtask has the feature that
/// the checks before have compiled, and is not compiled again.
pub(crate) fn run_all() -> Result<()> {
    let target = Target::Kinds(ServerKind::ALL.to_vec());
    let features = ["--features", PUBLIC_API].map(str::to_owned);
    let mut tests = target.cargo_test(&features, &[]);
    step::run(&format!("cargo test on {}", target.name()), &mut tests)
}

/// Options of `cargo test` that select kinds of targets or targets.
const TARGETS: [&str; 10] = [
    "--all-targets",
    "--bench",
    "--benches",
    "--bin",
    "--bins",
    "--example",
    "--examples",
    "--lib",
    "--test",
    "--tests",
];

/// The packages that the arguments of `cargo test` name.
fn packages(arguments: &[String]) -> Vec<String> {
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    let mut packages = Vec::new();
    while let Some(option) = options.next() {
        let long = option.strip_prefix("--package");
        match long.or_else(|| option.strip_prefix("-p")) {
            None => {}
            Some("") => packages.extend(options.next().cloned()),
            Some(value) => packages.push(value.trim_start_matches('=').to_owned()),
        }
    }
    packages
}

/// What the tests run against.
#[derive(Debug, PartialEq)]
pub(crate) enum Target {
    /// Private servers.
    Kinds(Vec<ServerKind>),
    /// The server of `DATABASE_URL`, which is of this kind. Nothing is installed for it.
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

    /// What the selected tests need. Cargo and the test programs know best which these are.
    fn needs(&self, arguments: &[String]) -> Result<Vec<Need>> {
        let Self::Kinds(kinds) = self else {
            return Ok(Vec::new());
        };
        let all = Need::all(kinds);
        if arguments.is_empty() {
            return Ok(all);
        }
        install::ensure(&Need::libraries(kinds))?;
        let runs_tests = !arguments.iter().any(|one| NO_RUN.contains(&one.as_str()));
        let tests = if runs_tests {
            self.list(arguments)?
        } else {
            Vec::new()
        };
        Ok(needs::of_tests(all, &tests))
    }

    fn list(&self, arguments: &[String]) -> Result<Vec<Test>> {
        let dashes = arguments.iter().position(|argument| argument == "--");
        let (options, rest) = arguments.split_at(dashes.unwrap_or(arguments.len()));
        let mut names = options.iter().filter_map(|option| option.split('=').next());
        if names.clone().any(|name| name == "--doc") {
            return Ok(vec![Test::of_documentation()]);
        }
        let mut options = options.to_vec();
        let mut tests = Vec::new();
        if !names.any(|name| TARGETS.contains(&name)) {
            // Cargo would compile the examples in the documentation to list them.
            options.push("--tests".to_owned());
            let packages = packages(arguments);
            if packages.is_empty() || packages.iter().any(|package| package == LIBRARY) {
                tests.push(Test::of_documentation());
            }
        }
        let build = [&options[..], &["--no-run".to_owned()]].concat();
        step::run("build the tests", &mut self.cargo_test(&build, &[]))?;

        // One pipe for both: cargo names each program before the program lists its tests.
        let (mut output, writer) = io::pipe()?;
        let mut command = self.cargo_test(&[&options[..], rest].concat(), &["--list"]);
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut list = command.spawn().context("cannot run cargo")?;
        // It holds the pipe's writing end, and reading ends when that is closed.
        drop(command);
        let mut text = String::new();
        output.read_to_string(&mut text)?;
        ensure!(list.wait()?.success(), "cannot list the tests:\n{text}");
        tests.extend(needs::parse_list(&text));
        Ok(tests)
    }

    /// `cargo test` with the arguments, and with further arguments for the test programs.
    fn cargo_test(&self, arguments: &[String], further: &[&str]) -> Command {
        let mut tests = match packages(arguments) {
            packages if packages.is_empty() => cargo_workspace("test", self.backends()),
            packages => cargo_packages("test", self.backends(), &packages),
        };
        tests.args(arguments);
        if !arguments.iter().any(|argument| argument == "--") {
            tests.arg("--");
        }
        tests.args(further);
        self.configure(&mut tests);
        tests
    }

    fn backends(&self) -> Backends {
        match self {
            Self::Kinds(kinds) => Backends::of(kinds),
            Self::Url(kind) => Backends::of(&[*kind]),
        }
    }

    /// Restricts tests to these servers. The command must end with arguments of the test programs.
    pub(crate) fn configure(&self, tests: &mut Command) {
        for name in self.skipped_names() {
            tests.args(["--skip", &name]);
        }
        tests.env("TEST_SERVERS", self.words());
        // Most cases wait for a server or for a timeout.
        if env::var_os(THREADS).is_none() {
            let processors = available_parallelism().map_or(1, NonZero::get);
            tests.env(THREADS, (2 * processors).to_string());
        }
        if let Self::Kinds(_) = self {
            // A server that was not asked for must not be touched.
            tests.env_remove("DATABASE_URL");
        }
    }

    /// Parts of the names of the tests of `#[server_test]` that must not run. No other test has
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

    /// The value of `TEST_SERVERS`.
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
    fn packages_are_read_in_every_form_before_the_dashes() {
        let line = "-p one --package two --package=three -pfour --profile dev -- -p five";
        let arguments: Vec<_> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(packages(&arguments), ["one", "two", "three", "four"]);
    }

    #[test]
    fn mariadb_is_the_default() {
        let target = private(&[]);
        assert_eq!(target, Target::Kinds(vec![ServerKind::Mariadb]));
        assert_eq!(target.words(), "mariadb");
    }

    #[test]
    fn url_is_used_unless_servers_are_asked_for() {
        let needs = Target::Url(ServerKind::Mysql).needs(&[]);
        assert_eq!(needs.expect("the needs"), []);
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
        assert!(skips(&mariadb, "suite::faults::one::postgres18_server"));
        assert!(private(&ServerKind::ALL).skipped_names().is_empty());
        let postgres = private(&[ServerKind::Postgres]);
        assert!(skips(&postgres, "suite::faults::one::postgres18_server"));
        assert!(!skips(&postgres, "suite::faults::one::postgres_server"));
        assert!(!skips(&postgres, "pgbouncer::one::postgres_own_server"));

        let url = Target::Url(ServerKind::Mysql);
        assert!(skips(&url, "suite::faults::one::mariadb_server"));
        assert!(skips(&url, "clusters::one::mysql_own_server"));
        assert!(!skips(&url, "suite::faults::one::mysql_server"));
    }
}
