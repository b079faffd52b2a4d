//! Counts instructions with valgrind.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Counts the instructions of one run, as the difference between many runs and few, which excludes
/// start and end of the program.
pub struct Counter {
    program: PathBuf,
}

/// The part of cargo's JSON messages that is used.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

const FEW: u64 = 100;
const MANY: u64 = 1_100;

impl Counter {
    /// Builds the program in release mode, unlike the tests.
    ///
    /// # Errors
    ///
    /// Returns an error if cargo fails.
    pub fn build() -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args(["build", "--release", "--package", "instructions"])
            .args([
                "--bin",
                "instructions",
                "--message-format",
                "json-render-diagnostics",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if cfg!(feature = "postgres") {
            build.args(["--features", "postgres"]);
        }
        let output = build.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the program does not build");
        let messages = String::from_utf8_lossy(&output.stdout);
        let mut artifacts = messages
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let program = artifacts.find_map(|Artifact { executable }| executable);
        Ok(Self {
            program: program.context("cargo names no executable")?,
        })
    }

    /// Counts the program that calls this.
    ///
    /// # Errors
    ///
    /// Returns an error if its file is unknown.
    pub fn of_this_program() -> Result<Self> {
        let program = env::current_exe()?;
        Ok(Self { program })
    }

    /// Returns the instructions in user space of one run. `work` is the program's arguments after
    /// `--times`.
    ///
    /// # Errors
    ///
    /// Returns an error if valgrind is missing, or the program fails.
    pub fn per_run(&self, work: &[&str]) -> Result<u64> {
        let (few, many) = (self.of(FEW, work)?, self.of(MANY, work)?);
        Ok((many - few) / (MANY - FEW))
    }

    fn of(&self, times: u64, work: &[&str]) -> Result<u64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&self.program)
            .args(["--times", &times.to_string()])
            .args(work)
            .output()
            .context("cannot run valgrind")?;
        let log = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{work:?} failed:\n{log}");
        let collected = log.lines().find_map(|line| line.split_once("Collected : "));
        let (_, count) = collected.with_context(|| format!("no count:\n{log}"))?;
        Ok(count.trim().parse()?)
    }
}

pub fn valgrind_is_installed() -> bool {
    let mut valgrind = Command::new("valgrind");
    let quiet = valgrind
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
