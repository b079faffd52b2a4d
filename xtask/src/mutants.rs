//! `cargo xtask mutants`: changes the library in one place after the other, and expects a test to
//! fail. `.cargo/mutants.toml` and `.cargo/mutants-async.toml` say where.

use std::fs;

use anyhow::{Context, Result, bail};
use test_server::{ServerKind, cache_dir};

use crate::cargo::{ASYNC, POSTGRES, workspace};
use crate::install::{self, Need};
use crate::test::Target;
use crate::tools::{self, Tool};

/// The exit code of cargo-mutants if tests have timed out. It hides mutants that were missed.
const TIMED_OUT: i32 = 3;

pub(crate) fn run(kind: ServerKind, of_async: bool, arguments: &[String]) -> Result<()> {
    let mut needs = Need::all(&[kind]);
    needs.retain(|need| !matches!(need, Need::Valgrind | Need::Python));
    install::ensure(&needs)?;
    let mut mutants = tools::cargo(&Tool::MUTANTS)?;
    mutants.arg("mutants").args(arguments);
    // No test of this server would notice a mutant of the other backend.
    let (tests, other_backend): (&[&str], _) = match (of_async, kind.is_postgres()) {
        (false, false) => (&["--test=mysql"], "src/backend/postgres/**"),
        (false, true) => (&["--test=postgres"], "src/backend/mysql/**"),
        (true, false) => (
            &["--test=mysql", "--test=suite_mysql"],
            "async/src/postgres.rs",
        ),
        (true, true) => (
            &["--test=postgres", "--test=suite_postgres"],
            "async/src/mysql.rs",
        ),
    };
    mutants.args(["--exclude", other_backend]);
    for test in tests {
        mutants.args(["--cargo-arg", test]);
    }
    if of_async {
        mutants.args(["--package", ASYNC, "--config", ".cargo/mutants-async.toml"]);
    } else if kind.is_postgres() {
        mutants.args(["--features", POSTGRES]);
    }
    // After the first dashes stand arguments of `cargo test`, after the second those of the tests.
    mutants.args(["--", "--"]);
    Target::Kinds(vec![kind]).configure(&mut mutants);
    // The tests of a copy of the workspace find the servers here.
    mutants.env("TEST_SERVER_CACHE", std::path::absolute(cache_dir())?);
    let status = mutants.status().context("cannot run cargo mutants")?;
    // A mutant that lets a test wait for ever is noticed.
    if status.code() == Some(TIMED_OUT) {
        let missed = fs::read_to_string(workspace().join("target/mutants.out/missed.txt"))?;
        if missed.is_empty() {
            return Ok(());
        }
    }
    if !status.success() {
        bail!("cargo mutants failed ({status}); see target/mutants.out");
    }
    Ok(())
}
