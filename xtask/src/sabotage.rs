//! `cargo xtask sabotage`: takes one protection after the other out of a copy of the library, and demands that the stress
//! test's checker notices, or a case of `tests/mysql`. A checker that cannot reject a run proves nothing.

mod list;
mod tree;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use test_server::{ServerKind, cache_dir};

use crate::cargo::{LIBRARY, cargo, cargo_packages, workspace};
use crate::install::{self, Need};
use crate::step;
use list::{ALL, Detector, Sabotage};
use tree::Tree;

/// The programs that judge, built from the library as it is.
const HONEST: [&str; 4] = ["--package", "stress", "--package", "stress-check"];

pub(crate) fn run(kind: ServerKind, only: &[String]) -> Result<()> {
    let mut chosen = choose(only)?;
    chosen.retain(|sabotage| sabotage.is_for(kind));
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
    workshop.share_servers()?;

    // What fails here fails for another reason than a sabotage.
    workshop.control(&chosen)?;
    let missed: Vec<_> = chosen
        .into_iter()
        .filter_map(|sabotage| match workshop.try_out(sabotage) {
            Ok(true) => None,
            Ok(false) => Some(Ok(sabotage.name)),
            Err(error) => Some(Err(error.context(sabotage.name))),
        })
        .collect::<Result<_>>()?;
    if !missed.is_empty() {
        bail!("not noticed: {}", missed.join(", "));
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

impl Sabotage {
    fn is_for(&self, kind: ServerKind) -> bool {
        match self.noticed_by {
            Detector::Case { only, .. } => only.is_none_or(|only| only == kind),
            Detector::StressTest { .. } => true,
        }
    }
}

struct Workshop {
    kind: ServerKind,
    tree: Tree,
    build: PathBuf,
    runs: PathBuf,
    log: PathBuf,
}

impl Workshop {
    /// The cases of the copy look for the servers beside what they are built to.
    fn share_servers(&self) -> Result<()> {
        fs::create_dir_all(&self.build).with_context(|| self.build.display().to_string())?;
        let link = self.build.join("servers");
        if !link.exists() {
            symlink(cache_dir(), &link).with_context(|| link.display().to_string())?;
        }
        Ok(())
    }

    /// The copy without any sabotage must pass.
    fn control(&self, chosen: &[&Sabotage]) -> Result<()> {
        for sabotage in chosen {
            if let Detector::Case { filter, .. } = sabotage.noticed_by
                && !self.case_passes(filter)?
            {
                bail!(
                    "the case `{filter}` fails without any sabotage, or is not there; see {}",
                    self.log.display()
                );
            }
        }
        let torments =
            |sabotage: &&Sabotage| matches!(sabotage.noticed_by, Detector::StressTest { .. });
        if !chosen.iter().any(torments) {
            return Ok(());
        }
        let worker = self.worker()?;
        let (directory, passed) = self.stress("control", &worker, &["--seconds=15"])?;
        if !passed {
            bail!(
                "the library fails without any sabotage; see {}",
                directory.join(REPORT).display()
            );
        }
        eprintln!("==> control: nothing was removed, and no rule was broken");
        Ok(())
    }

    /// Whether it was noticed.
    fn try_out(&self, sabotage: &Sabotage) -> Result<bool> {
        let since = Instant::now();
        let edited = self.tree.edit(sabotage.edits)?;
        let (noticed, by, see) = match sabotage.noticed_by {
            Detector::StressTest { options, rules } => {
                let worker = self.worker();
                // Before anything else can fail: the next one needs the copy as it was.
                edited.undo()?;
                let (directory, passed) = self.stress(sabotage.name, &worker?, options)?;
                let noticed = !passed && self.is_condemned(&directory, rules)?;
                (noticed, format!("rule {rules}"), directory.join(REPORT))
            }
            Detector::Case { filter, .. } => {
                // What does not compile would be noticed by no case.
                let built = self.build_cases();
                let passes = built.and_then(|()| self.case_passes(filter));
                edited.undo()?;
                (!passes?, format!("case {filter}"), self.log.clone())
            }
        };
        let what = if noticed {
            format!("noticed, by {by}")
        } else {
            format!("NOT NOTICED by {by}; see {}", see.display())
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
            .args(["--quiet", "--package", "stress"])
            .current_dir(self.tree.path())
            .env("CARGO_TARGET_DIR", &self.build);
        step::run_quietly("build the worker", &mut build, &self.log)?;
        Ok(self.build.join("debug").join("stress"))
    }

    /// Builds the cases of the copy.
    fn build_cases(&self) -> Result<()> {
        let mut build = self.cases();
        build.args(["--quiet", "--no-run"]);
        step::run_quietly("build the cases", &mut build, &self.log)
    }

    /// Whether the cases that a filter means pass, of which there is one at least.
    fn case_passes(&self, filter: &str) -> Result<bool> {
        self.build_cases()?;
        // The names of its tests begin with the case's, and go on with the kind's.
        let on_kind = format!("{filter}::{}_", self.kind);
        let output = self.cases().args(["--", &on_kind]).output();
        let output = output.context("cannot run the cases")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let log = fs::OpenOptions::new().append(true).open(&self.log);
        log?.write_all(&output.stdout)?;
        Ok(output.status.success() && text.contains(&on_kind))
    }

    fn cases(&self) -> Command {
        let mut test = cargo_packages("test", &[LIBRARY.to_owned()]);
        test.args(["--package", LIBRARY, "--test", "mysql"])
            .current_dir(self.tree.path())
            .env("CARGO_TARGET_DIR", &self.build)
            .env("TEST_SERVERS", self.kind.to_string())
            .env_remove("DATABASE_URL");
        test
    }

    /// Where the run has left its history, and whether it passed.
    fn stress(&self, name: &str, worker: &Path, options: &[&str]) -> Result<(PathBuf, bool)> {
        let directory = self.runs.join(name);
        let mut stress = Command::new(honest("stress"));
        stress
            .arg(format!("--server={}", self.kind))
            .arg("--seed=7")
            .arg("--directory")
            .arg(&directory)
            .arg("--worker-program")
            .arg(worker)
            .args(options);
        let output = stress.output().context("cannot run the stress test")?;
        fs::write(directory.join(REPORT), &output.stdout)?;
        match output.status.code() {
            Some(0) => Ok((directory, true)),
            Some(1) => Ok((directory, false)),
            _ => bail!(
                "the stress test itself failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// Whether it is condemned by a rule that this sabotage breaks.
    fn is_condemned(&self, directory: &Path, rules: &str) -> Result<bool> {
        let mut check = Command::new(honest("stress-check"));
        let check = check.arg(directory).arg("--expect").arg(rules);
        let output = check.output().context("cannot run the judge")?;
        Ok(output.status.success())
    }
}

/// What the stress test has printed.
const REPORT: &str = "report.txt";

/// A program of the workspace itself.
fn honest(program: &str) -> PathBuf {
    cache_dir().with_file_name("debug").join(program)
}
