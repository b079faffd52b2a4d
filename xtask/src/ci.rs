//! `cargo xtask ci`: every check. Stops at the first that fails.

use anyhow::Result;
use test_server::Kind;

use crate::cargo::{cargo, cargo_workspace};
use crate::install::{self, Need};
use crate::publish;
use crate::step;
use crate::test;

pub(crate) fn run() -> Result<()> {
    step::run("cargo fmt", cargo("fmt").args(["--all", "--check"]))?;

    // Even clippy runs the client library's build script.
    install::ensure(&Need::all(&Kind::ALL))?;

    // Warnings are refused by an argument: RUSTFLAGS would make cargo build everything once more.
    let deny = ["--", "-D", "warnings"];
    let mut clippy = cargo_workspace("clippy");
    clippy.args(["--features", "xtask/public-api", "--all-targets"]);
    step::run("cargo clippy", clippy.args(deny))?;
    let mut bare = cargo("clippy");
    bare.args(["--package", "diesel-advisory-lock", "--no-default-features"]);
    step::run("cargo clippy without features", bare.args(deny))?;

    let mut doc = cargo_workspace("doc");
    doc.arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings");
    step::run("cargo doc", &mut doc)?;

    publish::each_change()?;
    test::run(&Kind::ALL, &[])
}
