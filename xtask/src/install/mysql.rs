//! MySQL 9: in Debian it exists in sid only. Its file tree is put under `target/`, and the server
//! runs from there; nothing of it enters the system.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;
use test_server::{cache_dir, mysql_tree};

use super::apt::Apt;
use super::root::Root;
use super::sources;
use crate::step;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

pub(super) fn install(apt: &mut Apt, root: Root) -> Result<()> {
    let packages: Vec<_> = [
        ("debootstrap", Path::new("/usr/sbin/debootstrap").exists()),
        ("debian-archive-keyring", Path::new(KEYRING).exists()),
    ]
    .into_iter()
    .filter_map(|(package, is_there)| (!is_there).then_some(package))
    .collect();
    if !packages.is_empty() {
        apt.install(&packages)?;
    }

    let tree = mysql_tree();
    let partial = tree.with_extension("partial");
    clear(root, &partial)?;
    bootstrap(root, &partial)?;
    // What was downloaded, and is now installed.
    clear(root, &partial.join("var/cache/apt/archives"))?;
    if let Root::Sudo = root {
        give_to_user(root, &partial)?;
    }
    // Renamed when complete: a tree that exists is whole.
    let rename = [
        "--no-target-directory".as_ref(),
        partial.as_os_str(),
        tree.as_os_str(),
    ];
    root.run("mv", &rename)
}

fn bootstrap(root: Root, target: &Path) -> Result<()> {
    let mirror = sources::debian_mirror();
    let name = format!("making MySQL's file tree from {mirror} with debootstrap, about a minute");
    let mut debootstrap = root.command("debootstrap", &[("DEBIAN_FRONTEND", "noninteractive")]);
    debootstrap
        .args(["--variant=minbase", "--include=mysql-server-core"])
        .arg(format!("--keyring={KEYRING}"))
        .arg("sid")
        .arg(target)
        .arg(mirror);
    step::run_quietly(
        &name,
        &mut debootstrap,
        &cache_dir().join("debootstrap.log"),
    )
}

/// Removes a directory, such as one that an interrupted debootstrap left behind.
fn clear(root: Root, directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    // Mounted while debootstrap runs. As a rule it no longer is, and this fails.
    for mounted in ["proc", "sys"] {
        let _ = root.run("umount", &[directory.join(mounted)]);
    }
    let remove = [
        "-rf".as_ref(),
        "--one-file-system".as_ref(),
        directory.as_os_str(),
    ];
    root.run("rm", &remove)
}

/// So that `cargo clean` may remove the tree.
fn give_to_user(root: Root, tree: &Path) -> Result<()> {
    let user = rustix::process::getuid().as_raw();
    let group = rustix::process::getgid().as_raw();
    let owner = OsString::from(format!("{user}:{group}"));
    let own = [
        "-R".as_ref(),
        "--no-dereference".as_ref(),
        owner.as_os_str(),
        tree.as_os_str(),
    ];
    root.run("chown", &own)
}
