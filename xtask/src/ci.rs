//! `cargo xtask ci`: every check that a change has to pass. Stops at the first failure.

use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use anyhow::Result;
use test_server::ServerKind;

use crate::cargo::{Backends, PUBLIC_API, cargo, cargo_workspace};
use crate::check_release::{self, Sets};
use crate::cycles;
use crate::install::{self, Need};
use crate::step;
use crate::test;
use crate::tools::{self, Tool};

/// Programs to document. A program with the name of its package's library is left out, as cargo
/// does by default: its pages would overwrite the library's.
const PROGRAMS: [&str; 4] = ["benches", "diesel-lock", "stress", "xtask"];

pub(crate) fn run() -> Result<()> {
    step::run("cargo fmt", cargo("fmt").args(["--all", "--check"]))?;
    // Even clippy runs the build scripts of the client libraries.
    install::ensure(&Need::CLIENT_LIBRARIES)?;

    // Downloads, the last crates of a build, and one package with many sets of features leave a
    // processor idle. Meanwhile the servers are installed, and the tools are compiled in another
    // target directory.
    thread::scope(|scope| {
        let hack = scope.spawn(|| tools::install(&Tool::HACK));
        let others = scope.spawn(|| {
            install::ensure(&Need::all(&ServerKind::ALL))?;
            cycles::check()
        });
        read_code()?;
        check_release::minimal_versions()?;
        join(hack)?;
        check_release::features(Sets::Pairs)?;
        check_release::api(false)?;
        join(others)
    })?;
    test::run_all()
}

fn join(step: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    step.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs clippy and rustdoc.
fn read_code() -> Result<()> {
    // An argument refuses warnings: RUSTFLAGS would make cargo build everything once more.
    let mut clippy = cargo_workspace("clippy", Backends::All);
    clippy.args(["--features", PUBLIC_API, "--all-targets"]);
    step::run("cargo clippy", clippy.args(["--", "-D", "warnings"]))?;

    let mut doc = cargo_workspace("doc", Backends::All);
    doc.args(["--features", PUBLIC_API, "--no-deps", "--lib"]);
    for program in PROGRAMS {
        doc.args(["--bin", program]);
    }
    // `--examples` makes cargo resolve features with dev-dependencies, as clippy's step did.
    // Otherwise Diesel and 24 other crates would be checked again with fewer features.
    doc.arg("--examples").env("RUSTDOCFLAGS", "-D warnings");
    step::run("cargo doc", &mut doc)
}
