//! Programs of the Rust registry that some commands need: of a pinned version, below `target/`, and nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo as own_cargo, workspace};
use crate::step;

pub(crate) struct Tool {
    package: &'static str,
    version: &'static str,
    program: &'static str,
}

impl Tool {
    pub(crate) const ARC: Self = Self::new("cargo-arc", "0.6.2", "cargo-arc");
    pub(crate) const HACK: Self = Self::new("cargo-hack", "0.6.46", "cargo-hack");
    pub(crate) const DENY: Self = Self::new("cargo-deny", "0.20.2", "cargo-deny");
    pub(crate) const SEMVER_CHECKS: Self =
        Self::new("cargo-semver-checks", "0.51.0", "cargo-semver-checks");
    pub(crate) const TYPOS: Self = Self::new("typos-cli", "1.52.0", "typos");

    const fn new(package: &'static str, version: &'static str, program: &'static str) -> Self {
        Self {
            package,
            version,
            program,
        }
    }

    /// A directory for each version, so that what is there is what is wanted.
    fn root(&self) -> PathBuf {
        let name = format!("{}-{}", self.package, self.version);
        workspace().join("target/tools").join(name)
    }

    fn path(&self) -> PathBuf {
        self.root().join("bin").join(self.program)
    }
}

/// The program itself. Installs it first if it is not there.
pub(crate) fn command(tool: &Tool) -> Result<Command> {
    install(tool)?;
    Ok(Command::new(tool.path()))
}

/// All that `cargo xtask ci` needs.
pub(crate) fn install_for_each_change() -> Result<()> {
    [Tool::HACK, Tool::DENY, Tool::TYPOS, Tool::ARC]
        .iter()
        .try_for_each(install)
}

/// Installs it if it is not there.
fn install(tool: &Tool) -> Result<()> {
    if !tool.path().exists() {
        let tools = workspace().join("target/tools");
        let mut install = own_cargo("install");
        // It runs for a second: the time that counts is the compiler's.
        install
            .args(["--locked", "--debug", "--version", tool.version])
            .args([tool.package, "--root"])
            .arg(tool.root())
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_DEV_BUILD_OVERRIDE_DEBUG", "0")
            .env("CARGO_TARGET_DIR", tools.join("build"));
        let name = format!("installing {}", tool.package);
        step::run_quietly(&name, &mut install, &tools.join("install.log"))?;
    }
    Ok(())
}

/// A cargo command in the workspace's root that finds the tool as its verb.
pub(crate) fn cargo(tool: &Tool) -> Result<Command> {
    command(tool)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut path: OsString = tool.root().join("bin").into();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    cargo.env("PATH", path).current_dir(workspace());
    Ok(cargo)
}
