//! Cargo's subcommands from the registry that some commands need: of a pinned version, below
//! `target/` and nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo as cargo_with, workspace};
use crate::step;

pub(crate) struct Tool {
    /// The program has the same name.
    package: &'static str,
    version: &'static str,
}

impl Tool {
    pub(crate) const ARC: Self = Self::new("cargo-arc", "0.6.2");
    pub(crate) const HACK: Self = Self::new("cargo-hack", "0.6.46");
    pub(crate) const MUTANTS: Self = Self::new("cargo-mutants", "27.1.0");

    const fn new(package: &'static str, version: &'static str) -> Self {
        Self { package, version }
    }

    /// A directory for each version, so that an older version is not used.
    fn root(&self) -> PathBuf {
        let name = format!("{}-{}", self.package, self.version);
        workspace().join("target/tools").join(name)
    }
}

/// A cargo command in the workspace's root that has the tool as a subcommand.
pub(crate) fn cargo(tool: &Tool) -> Result<Command> {
    install(tool)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut path: OsString = tool.root().join("bin").into();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    cargo.env("PATH", path).current_dir(workspace());
    Ok(cargo)
}

pub(crate) fn install(tool: &Tool) -> Result<()> {
    if tool.root().join("bin").join(tool.package).exists() {
        return Ok(());
    }
    let tools = workspace().join("target/tools");
    let mut install = cargo_with("install");
    // It runs for a second: the time that counts is the compiler's.
    install
        .args(["--locked", "--debug", "--version", tool.version])
        .args([tool.package, "--root"])
        .arg(tool.root())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_BUILD_OVERRIDE_DEBUG", "0")
        .env("CARGO_TARGET_DIR", tools.join("build"));
    let name = format!("install {}", tool.package);
    step::run_quietly(&name, &mut install, &tools.join("install.log"))
}
