//! PostgreSQL, from the system's packages or from a Debian file tree.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Engine, program};
use crate::error::NotInstalled;
use crate::server_dir::ServerDir;

const REMEDY: &str =
    "Run `cargo xtask setup --server postgres`, or install PostgreSQL 14 or later.";

/// Where Debian installs the programs: a directory for each major version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The oldest major version that the tests run on.
const OLDEST: u32 = 14;

/// The account `nobody`. The server refuses to run as root.
const NOBODY: u32 = 65_534;

pub(super) struct Postgres {
    server: PathBuf,
    initialiser: PathBuf,
    version: String,
}

impl Postgres {
    /// The newest version among the system's packages.
    pub(super) fn find() -> Result<Self, NotInstalled> {
        let newest = of_packages().into_iter().chain(of_path()).next();
        newest.ok_or_else(|| NotInstalled {
            missing: format!(
                "PostgreSQL {OLDEST} or later was not found, neither in {VERSIONS} nor on the PATH."
            ),
            remedy: REMEDY,
        })
    }

    /// `None` if a program is missing or too old.
    fn checked(server: PathBuf, initialiser: PathBuf) -> Option<Self> {
        let version = version(Command::new(&server))?;
        (major(&version)? >= OLDEST && initialiser.is_file()).then_some(Self {
            server,
            initialiser,
            version,
        })
    }
}

impl Engine for Postgres {
    fn version(&self) -> &str {
        &self.version
    }

    fn user(&self) -> Option<u32> {
        rustix::process::geteuid().is_root().then_some(NOBODY)
    }

    fn initialise(&self, data: &Path, _scratch: &Path) -> io::Result<Command> {
        let mut command = Command::new(&self.initialiser);
        initialise(&mut command, data);
        as_user(&mut command, self.user());
        Ok(command)
    }

    fn serve(&self, server_dir: &ServerDir, port: u16) -> Command {
        let mut command = Command::new(&self.server);
        serve(&mut command, server_dir, port);
        command
    }

    fn socket(&self, server_dir: &ServerDir, port: u16) -> PathBuf {
        socket(server_dir, port)
    }
}

/// Newest first.
fn of_packages() -> Vec<Postgres> {
    let directories = fs::read_dir(VERSIONS).into_iter().flatten();
    let mut found: Vec<_> = directories
        .filter_map(Result::ok)
        .map(|version| version.path().join("bin"))
        .filter_map(|bin| Postgres::checked(bin.join("postgres"), bin.join("initdb")))
        .collect();
    found.sort_by_key(|postgres| std::cmp::Reverse(major(&postgres.version)));
    found
}

fn of_path() -> Option<Postgres> {
    Postgres::checked(program::find("postgres")?, program::find("initdb")?)
}

/// The version in a line such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version(mut program: Command) -> Option<String> {
    let line = program::output(program.arg("--version")).ok()?;
    let (_, version) = line.split_once("(PostgreSQL) ")?;
    version.split_whitespace().next().map(str::to_owned)
}

/// `15` of `15.18`, and of a test version such as `19beta1`.
fn major(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn as_user(command: &mut Command, user: Option<u32>) {
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
}

/// Adds the flags of `initdb`.
fn initialise(command: &mut Command, data: &Path) {
    command
        .args(["--username=root", "--auth=trust"])
        .args(["--encoding=UTF8", "--locale=C"])
        // The files of the log are small: each new server copies one.
        .args(["--wal-segsize=1", "--no-sync", "--no-instructions"])
        .arg("--pgdata")
        .arg(data)
        // The user may not be able to read the current directory.
        .current_dir("/");
}

/// Adds the flags of a running server.
fn serve(command: &mut Command, server_dir: &ServerDir, port: u16) {
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
    command.arg("-D").arg(server_dir.data());
    for setting in settings {
        command.args(["-c", &setting]);
    }
}

/// The server chooses the name.
fn socket(server_dir: &ServerDir, port: u16) -> PathBuf {
    server_dir.path().join(format!(".s.PGSQL.{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_the_first_number() {
        assert_eq!(major("15.18"), Some(15));
        assert_eq!(major("19beta1"), Some(19));
        assert_eq!(major("unknown"), None);
    }
}
