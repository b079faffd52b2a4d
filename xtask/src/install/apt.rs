//! Packages of Debian and Ubuntu.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use test_server::cache_dir;

use super::root::Root;
use super::runs;
use crate::step;

/// No questions; and no service is to be started by a package, as in single-user mode.
const ENVIRONMENT: [(&str, &str); 2] = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];

pub(super) fn is_here() -> bool {
    runs("apt-get", &["--version"])
}

pub(super) struct Apt {
    root: Root,
    lists_are_fresh: bool,
}

impl Apt {
    pub(super) fn new(root: Root) -> Self {
        Self {
            root,
            lists_are_fresh: false,
        }
    }

    pub(super) fn install(&mut self, packages: &[&str]) -> Result<()> {
        self.refresh()?;
        let mut install = self.root.command("apt-get", &ENVIRONMENT);
        // Without `--no-remove`, a server of another make would be removed as a conflict.
        install
            .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
            .args(packages);
        let name = format!("installing {} with apt-get", packages.join(", "));
        step::run_quietly(&name, &mut install, &log())
    }

    /// The first of the choices whose packages are all known here.
    pub(super) fn install_first(&mut self, choices: &[&[&str]]) -> Result<()> {
        self.refresh()?;
        for packages in choices {
            if packages.iter().all(|package| is_known(package)) {
                return self.install(packages);
            }
        }
        bail!("apt-get knows no package of {choices:?}");
    }

    /// Puts the file of a package into a directory. Takes no root.
    pub(super) fn download(&mut self, package: &str, directory: &Path) -> Result<()> {
        self.refresh()?;
        let mut download = Command::new("apt-get");
        download.args(["download", package]).current_dir(directory);
        let name = format!("downloading {package} with apt-get");
        step::run_quietly(&name, &mut download, &log())
    }

    fn refresh(&mut self) -> Result<()> {
        if !self.lists_are_fresh {
            let mut update = self.root.command("apt-get", &ENVIRONMENT);
            update.arg("update");
            step::run_quietly(
                "updating the lists of packages with apt-get",
                &mut update,
                &log(),
            )?;
            self.lists_are_fresh = true;
        }
        Ok(())
    }
}

/// Whether a package of exactly this name can be installed.
fn is_known(package: &str) -> bool {
    runs("apt-cache", &["show", "--no-all-versions", package])
}

fn log() -> PathBuf {
    cache_dir().join("apt-get.log")
}
