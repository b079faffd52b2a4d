//! The project's programs. They start a server themselves: install what they need, build, run.

use std::env;

use anyhow::{Result, bail};
use test_server::ServerKind;

use crate::cargo::{POSTGRES, cargo};
use crate::install::{self, Need};
use crate::step;

pub(crate) struct Program {
    name: &'static str,
    /// What cargo builds.
    target: &'static [&'static str],
    /// What cargo builds instead for PostgreSQL.
    postgres_target: Option<&'static [&'static str]>,
    /// Whether it uses the server of DATABASE_URL if that is set.
    takes_url: bool,
}

pub(crate) const DEMO: Program = Program {
    name: "the example",
    target: &["--package", "notification"],
    postgres_target: None,
    takes_url: true,
};

pub(crate) const BENCH: Program = Program {
    name: "the benchmarks",
    target: &["--release", "--package", "benches"],
    postgres_target: None,
    takes_url: false,
};

pub(crate) const STRESS: Program = Program {
    name: "the stress test",
    target: &["--release", "--package", "stress", "--bin", "stress"],
    postgres_target: Some(&[
        "--release",
        "--package",
        "stress",
        "--bin",
        "stress-postgres",
        "--features",
        POSTGRES,
    ]),
    takes_url: false,
};

/// Runs a program with the arguments after the verb.
pub(crate) fn run(program: &Program, server: ServerKind) -> Result<()> {
    let mut needs = Need::libraries(&[server]);
    let target = match program.postgres_target {
        Some(target) if server.is_postgres() => target,
        _ => program.target,
    };
    if !program.takes_url || env::var_os("DATABASE_URL").is_none() {
        needs.push(Need::Server(server));
    }
    install::ensure(&needs)?;
    let mut build = cargo("build");
    step::run(&format!("build {}", program.name), build.args(target))?;
    let status = cargo("run")
        .arg("--quiet")
        .args(target)
        .arg("--")
        .args(env::args_os().skip(2))
        .status()?;
    if !status.success() {
        bail!("{} failed ({status})", program.name);
    }
    Ok(())
}
