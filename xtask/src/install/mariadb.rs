//! The plugin that tells who holds which lock: Debian ships it with the service, in `mariadb-server`. The file
//! alone is taken out of the package, so that nothing runs at the machine's next start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use test_server::{cache_dir, mariadb_plugins};

use super::apt::Apt;
use crate::step;

const PACKAGE: &str = "mariadb-server";

pub(super) fn install_plugin(apt: &mut Apt) -> Result<()> {
    // Of the version that is about to be downloaded: a server takes its own plugins only.
    apt.install(&["mariadb-server-core", "mariadb-client-core"])?;
    let target = mariadb_plugins()?;
    let partial = target.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    apt.download(PACKAGE, &partial)?;
    let package = only_entry(&partial)?;
    let tree = partial.join("tree");
    step::run_quietly(
        &format!("unpacking {PACKAGE}"),
        Command::new("dpkg-deb")
            .arg("--extract")
            .args([&package, &tree]),
        &cache_dir().join("dpkg-deb.log"),
    )?;
    let plugins = partial.join("plugins");
    fs::create_dir(&plugins)?;
    let plugin = tree.join("usr/lib/mysql/plugin/metadata_lock_info.so");
    fs::rename(&plugin, plugins.join("metadata_lock_info.so"))
        .with_context(|| format!("{PACKAGE} has no {}", plugin.display()))?;
    // Renamed when complete: a directory that exists is whole.
    fs::rename(&plugins, &target)?;
    fs::remove_dir_all(&partial)?;
    Ok(())
}

fn only_entry(directory: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(directory)?;
    let entry = entries.next().context("nothing was downloaded")??;
    Ok(entry.path())
}
