//! `cargo xtask ci`: every check that a change has to pass. Stops at the first failure.

use std::panic::resume_unwind;
use std::thread;

use anyhow::Result;
use test_server::ServerKind;

use crate::cargo::{Backends, cargo, cargo_workspace};
use crate::check_release;
use crate::cycles;
use crate::install::{self, Need};
use crate::step;
use crate::test;
use crate::tools;

/// Programs to document. A program with the name of its package's library is left out, as cargo
/// does by default: its pages would overwrite the library's.
const PROGRAMS: [&str; 3] = ["benches", "stress", "xtask"];

pub(crate) fn run() -> Result<()> {
    // Downloads and the last crates of a build leave a processor idle. Meanwhile the tools are
    // compiled, in another target directory.
    thread::scope(|scope| {
        let tools = scope.spawn(tools::install_for_each_change);
        read_code()?;
        tools.join().unwrap_or_else(|panic| resume_unwind(panic))
    })?;

    check_release::each_change()?;
    cycles::check()?;
    test::run(&ServerKind::ALL, &[])
}

/// Runs rustfmt, clippy and rustdoc.
fn read_code() -> Result<()> {
    step::run("cargo fmt", cargo("fmt").args(["--all", "--check"]))?;

    // Even clippy runs the build scripts of the client libraries.
    install::ensure(&Need::all(&ServerKind::ALL))?;

    // An argument refuses warnings: RUSTFLAGS would make cargo build everything once more.
    let mut clippy = cargo_workspace("clippy", Backends::All);
    clippy.args(["--features", "xtask/public-api", "--all-targets"]);
    step::run("cargo clippy", clippy.args(["--", "-D", "warnings"]))?;

    let mut doc = cargo_workspace("doc", Backends::All);
    doc.args(["--features", "xtask/public-api", "--no-deps", "--lib"]);
    for program in PROGRAMS {
        doc.args(["--bin", program]);
    }
    // `--examples` makes cargo resolve features with dev-dependencies, as clippy's step did.
    // Otherwise Diesel and 24 other crates would be checked again with fewer features.
    doc.arg("--examples").env("RUSTDOCFLAGS", "-D warnings");
    step::run("cargo doc", &mut doc)
}
