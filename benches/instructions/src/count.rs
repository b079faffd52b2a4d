//! Counting instructions with valgrind.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Counts what one run takes: the difference between many runs and few, so that what comes before and after is
/// left out.
pub struct Counter {
    /// This package's program.
    pub program: PathBuf,
}

const FEW: u64 = 100;
const MANY: u64 = 1_100;

impl Counter {
    /// Instructions in user space of one run, where `work` is what the program takes after `--times`.
    ///
    /// # Errors
    ///
    /// If valgrind is missing, or the program fails.
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
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{work:?} failed:\n{said}");
        let collected = said
            .lines()
            .find_map(|line| line.split_once("Collected : "));
        let (_, count) = collected.with_context(|| format!("no count:\n{said}"))?;
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
