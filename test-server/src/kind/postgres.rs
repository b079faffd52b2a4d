//! PostgreSQL, from the system's packages or from a Debian file tree.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::{self, Tree};
use super::{Engine, program};
use crate::cache::postgres_tree;
use crate::error::NotInstalled;
use crate::server_dir::ServerDir;

/// Where Debian installs the programs: a directory for each major version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The oldest major version that the tests run on.
const OLDEST: u32 = 14;

/// `initdb` runs the program `postgres` beside it. This is one that runs the server of a tree.
const SERVER_OF_TREE: &str = include_str!("postgres.sh");

pub(super) struct Postgres {
    /// The directory of the programs.
    bin: PathBuf,
    /// `None` for the system's packages.
    tree: Option<Tree>,
    version: String,
}

impl Postgres {
    /// The newest version among the system's packages.
    pub(super) fn find() -> Result<Self, NotInstalled> {
        Self::newest_of_system().ok_or_else(|| NotInstalled {
            missing: format!(
                "PostgreSQL {OLDEST} or later was not found, neither in {VERSIONS} nor on the PATH."
            ),
            remedy: "Run `cargo xtask setup --server postgres`, or install the package postgresql.",
        })
    }

    /// Version 18 or later: that of the Debian file tree, or the system's.
    pub(super) fn find_18() -> Result<Self, NotInstalled> {
        let tree = postgres_tree();
        let is_new = |found: &Self| major(&found.version) >= Some(18);
        Self::in_tree(&tree)
            .or_else(|| Self::newest_of_system().filter(is_new))
            .ok_or_else(|| NotInstalled {
                missing: format!(
                    "PostgreSQL 18 was not found, neither in {} nor in the system.",
                    tree.display()
                ),
                remedy: "Run `cargo xtask setup --server postgres18`, or install PostgreSQL 18.",
            })
    }

    fn in_tree(tree: &Path) -> Option<Self> {
        let tree = Tree::find(tree)?;
        let bin = tree.usr.join("lib/postgresql/18/bin");
        Self::checked(bin, Some(tree))
    }

    fn newest_of_system() -> Option<Self> {
        let versions = fs::read_dir(VERSIONS).into_iter().flatten();
        versions
            .filter_map(Result::ok)
            .filter_map(|version| Self::checked(version.path().join("bin"), None))
            .max_by_key(|found| major(&found.version))
            .or_else(|| {
                let server = program::find("postgres")?;
                Self::checked(server.parent()?.to_owned(), None)
            })
    }

    /// `None` if a program is missing or too old.
    fn checked(bin: PathBuf, tree: Option<Tree>) -> Option<Self> {
        let mut found = Self {
            bin,
            tree,
            version: String::new(),
        };
        let line = program::output(found.command("postgres").arg("--version")).ok()?;
        found.version = version(&line)?.to_owned();
        let has_initialiser = found.bin.join("initdb").is_file();
        (major(&found.version)? >= OLDEST && has_initialiser).then_some(found)
    }

    fn command(&self, name: &str) -> Command {
        let path = self.bin.join(name);
        match &self.tree {
            Some(tree) => tree::command(&tree.program(&path)),
            None => Command::new(path),
        }
    }

    /// The command of `initdb`.
    fn initialiser(&self, scratch: &Path) -> io::Result<Command> {
        let path = self.bin.join("initdb");
        let Some(tree) = &self.tree else {
            return Ok(Command::new(path));
        };
        let (server, initialiser) = (scratch.join("postgres"), scratch.join("initdb"));
        fs::write(&server, SERVER_OF_TREE)?;
        // It looks for the server beside this file, which must exist.
        fs::write(&initialiser, "")?;
        for file in [&server, &initialiser] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o755))?;
        }
        let mut program = tree.program(&path);
        program.splice(1..1, ["--argv0".into(), initialiser.into()]);
        let mut command = tree::command(&program);
        command
            .env("TREE_LOADER", &tree.loader)
            .env("TREE_LIBRARIES", &tree.libraries)
            .env("TREE_SERVER", self.bin.join("postgres"))
            .arg("-L")
            .arg(tree.usr.join("share/postgresql/18"));
        Ok(command)
    }
}

impl Engine for Postgres {
    fn version(&self) -> &str {
        &self.version
    }

    fn user(&self) -> Option<u32> {
        program::user_instead_of_root()
    }

    fn initialise(&self, data: &Path, scratch: &Path) -> io::Result<Command> {
        let mut command = self.initialiser(scratch)?;
        command
            .args(["--username=root", "--auth=trust"])
            .args(["--encoding=UTF8", "--locale=C"])
            // Small files of the write-ahead log: each new server copies them.
            .args(["--wal-segsize=1", "--no-sync", "--no-instructions"])
            .arg("--pgdata")
            .arg(data)
            // The user may not be able to read the current directory.
            .current_dir("/");
        if let Some(user) = self.user() {
            command.uid(user).gid(user);
        }
        Ok(command)
    }

    fn serve(&self, server_dir: &ServerDir, port: u16) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(server_dir.data());
        let settings = [
            format!("port={port}"),
            format!("unix_socket_directories={}", server_dir.path().display()),
            "listen_addresses=127.0.0.1".to_owned(),
            "max_connections=600".to_owned(),
            "max_locks_per_transaction=64".to_owned(),
            "shared_buffers=32MB".to_owned(),
            // The data need not survive a crash of the machine, only one of the server.
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
            // Files in the data directory: those of /dev/shm would outlive a killed server.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        for setting in settings {
            command.args(["-c", &setting]);
        }
        command
    }

    fn socket(&self, server_dir: &ServerDir, port: u16) -> PathBuf {
        server_dir.postgres_socket(port)
    }
}

/// The version in a line such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version(line: &str) -> Option<&str> {
    let (_, version) = line.split_once("(PostgreSQL) ")?;
    version.split_whitespace().next()
}

/// `15` of `15.18`, and `19` of a test version such as `19beta1`.
pub(super) fn major(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_follows_the_name() {
        let line = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(version(line), Some("15.18"));
        assert_eq!(version("no such thing"), None);
    }

    #[test]
    fn major_version_is_the_first_number() {
        assert_eq!(major("15.18"), Some(15));
        assert_eq!(major("19beta1"), Some(19));
        assert_eq!(major("unknown"), None);
    }
}
