//! Programs of a Debian file tree, which `xtask/install.sh` has unpacked.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Tree {
    pub(crate) usr: PathBuf,
    /// The tree's dynamic loader, by the path of its real file.
    pub(crate) loader: PathBuf,
    pub(crate) libraries: PathBuf,
}

impl Tree {
    /// `None` if the tree is missing.
    pub(crate) fn find(tree: &Path) -> Option<Self> {
        let usr = tree.join("usr");
        let loader = loader(&usr)?;
        let libraries = loader.parent()?.to_owned();
        Some(Self {
            usr,
            loader,
            libraries,
        })
    }

    /// Runs a program under the tree's own dynamic loader. Unlike `chroot`, that needs no root and
    /// changes no paths. Returns the loader and its arguments.
    pub(crate) fn program(&self, path: &Path) -> Vec<OsString> {
        vec![
            self.loader.clone().into(),
            "--library-path".into(),
            self.libraries.clone().into(),
            path.into(),
        ]
    }
}

/// A command of a program and its first arguments.
pub(crate) fn command(program: &[OsString]) -> Command {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]);
    // The machine's settings may not suit the tree's OpenSSL.
    command.env("OPENSSL_CONF", "/dev/null");
    command
}

/// The libraries are beside the real file.
fn loader(usr: &Path) -> Option<PathBuf> {
    ["lib64", "lib"]
        .iter()
        .filter_map(|name| fs::read_dir(usr.join(name)).ok())
        .flatten()
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with("ld-linux"))
        .and_then(|entry| fs::canonicalize(entry.path()).ok())
}
