//! `cargo xtask mutants`: changes the library in one place after the other, and expects a test to
//! fail. `.cargo/mutants.toml` says where.

use anyhow::Result;
use test_server::{ServerKind, cache_dir};

use crate::install::{self, Need};
use crate::step;
use crate::test::Target;
use crate::tools::{self, Tool};

pub(crate) fn run(kind: ServerKind, arguments: &[String]) -> Result<()> {
    let target = Target::Kinds(vec![kind]);
    let mut needs = Need::all(&[kind]);
    needs.retain(|need| *need != Need::Valgrind);
    install::ensure(&needs)?;
    let mut mutants = tools::cargo(&Tool::MUTANTS)?;
    mutants.arg("mutants").args(arguments);
    // After the first dashes stand arguments of `cargo test`, after the second those of the tests.
    mutants.args(["--", "--"]);
    target.configure(&mut mutants);
    // The tests of a copy of the workspace find the servers here.
    mutants.env("TEST_SERVER_CACHE", std::path::absolute(cache_dir())?);
    step::run(&format!("mutants on {kind}"), &mut mutants)
}
