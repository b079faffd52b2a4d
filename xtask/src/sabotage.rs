//! `cargo xtask sabotage`: takes one protection after the other out of a copy of the library, tortures what is left, and
//! demands that the judge notices. A judge that cannot condemn proves nothing.

mod list;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use test_server::{Kind, cache_dir};

use crate::cargo::{cargo, workspace};
use crate::install::{self, Need};
use crate::step;
use list::{ALL, Sabotage};
use tree::Tree;

/// The programs that judge, built from the library as it is.
const HONEST: [&str; 4] = ["--package", "torture", "--package", "torture-check"];

pub(crate) fn run(kind: Kind, only: &[String]) -> Result<()> {
    let chosen = choose(only)?;
    install::ensure(&[Need::ClientLibrary, Need::Server(kind)])?;
    let target = cache_dir().with_file_name("sabotage");
    let workshop = Workshop {
        kind,
        tree: Tree::copy(workspace(), target.join("tree"))?,
        build: target.join("build"),
        runs: target.join("runs"),
        log: target.join("build.log"),
    };
    step::run("build the judge", cargo("build").args(HONEST))?;
    fs::create_dir_all(&workshop.runs).with_context(|| workshop.runs.display().to_string())?;

    // What fails here fails for another reason than a sabotage.
    workshop.control()?;
    let missed: Vec<_> = chosen
        .into_iter()
        .filter_map(|sabotage| match workshop.try_out(sabotage) {
            Ok(true) => None,
            Ok(false) => Some(Ok(sabotage.name)),
            Err(error) => Some(Err(error.context(sabotage.name))),
        })
        .collect::<Result<_>>()?;
    if !missed.is_empty() {
        bail!("the judge did not notice: {}", missed.join(", "));
    }
    Ok(())
}

fn choose(only: &[String]) -> Result<Vec<&'static Sabotage>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| ALL.iter().all(|one| one.name != **name))
    {
        let names: Vec<_> = ALL.iter().map(|sabotage| sabotage.name).collect();
        bail!("`{unknown}` is none of {}", names.join(", "));
    }
    let all = ALL.iter();
    let chosen = all.filter(|one| only.is_empty() || only.iter().any(|name| name == one.name));
    Ok(chosen.collect())
}

struct Workshop {
    kind: Kind,
    tree: Tree,
    build: PathBuf,
    runs: PathBuf,
    log: PathBuf,
}

impl Workshop {
    /// The copy without any sabotage must pass.
    fn control(&self) -> Result<()> {
        let worker = self.worker()?;
        let (directory, passed) = self.torture("control", &worker, &["--seconds=15"])?;
        if !passed {
            bail!(
                "the library fails without any sabotage; see {}",
                directory.join(REPORT).display()
            );
        }
        eprintln!("==> control: nothing was removed, and no rule was broken");
        Ok(())
    }

    /// Whether the judge noticed.
    fn try_out(&self, sabotage: &Sabotage) -> Result<bool> {
        let since = Instant::now();
        let edited = self.tree.edit(sabotage.edits)?;
        let worker = self.worker();
        // Before anything else can fail: the next one needs the copy as it was.
        edited.undo()?;
        let (directory, passed) = self.torture(sabotage.name, &worker?, sabotage.options)?;
        let noticed = !passed && self.is_condemned(&directory, sabotage)?;
        let what = if noticed {
            format!("noticed, by rule {}", sabotage.rules)
        } else {
            format!(
                "NOT NOTICED by rule {}; see {}",
                sabotage.rules,
                directory.join(REPORT).display()
            )
        };
        eprintln!(
            "==> {} ({}): {what} ({})",
            sabotage.name,
            sabotage.removed,
            step::readable(since.elapsed())
        );
        Ok(noticed)
    }

    /// Builds the worker from the copy.
    fn worker(&self) -> Result<PathBuf> {
        let mut build = cargo("build");
        build
            .args(["--quiet", "--package", "torture"])
            .current_dir(self.tree.path())
            .env("CARGO_TARGET_DIR", &self.build);
        step::run_quietly("build the worker", &mut build, &self.log)?;
        Ok(self.build.join("debug").join("torture"))
    }

    /// Where the run has left its history, and whether it passed.
    fn torture(&self, name: &str, worker: &Path, options: &[&str]) -> Result<(PathBuf, bool)> {
        let directory = self.runs.join(name);
        let mut torture = Command::new(honest("torture"));
        torture
            .arg(format!("--server={}", self.kind))
            .arg("--seed=7")
            .arg("--directory")
            .arg(&directory)
            .arg("--worker-program")
            .arg(worker)
            .args(options);
        let output = torture.output().context("cannot run the torture")?;
        fs::write(directory.join(REPORT), &output.stdout)?;
        match output.status.code() {
            Some(0) => Ok((directory, true)),
            Some(1) => Ok((directory, false)),
            _ => bail!(
                "the torture itself failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// Whether it is condemned by a rule that this sabotage breaks.
    fn is_condemned(&self, directory: &Path, sabotage: &Sabotage) -> Result<bool> {
        let mut check = Command::new(honest("torture-check"));
        let check = check.arg(directory).arg("--expect").arg(sabotage.rules);
        let output = check.output().context("cannot run the judge")?;
        Ok(output.status.success())
    }
}

/// What the torture has printed.
const REPORT: &str = "report.txt";

/// A program of the workspace itself.
fn honest(program: &str) -> PathBuf {
    cache_dir().with_file_name("debug").join(program)
}
