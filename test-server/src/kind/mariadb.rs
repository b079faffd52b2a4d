//! MariaDB, from the system's packages.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Engine, flags, program};
use crate::cache::cache_dir;
use crate::error::NotInstalled;
use crate::server_dir::ServerDir;

const REMEDY: &str =
    "Run `cargo xtask setup --server mariadb`, or install the package mariadb-server.";

/// Where systems put the server's plugins.
const PLUGINS: [&str; 3] = [
    "/usr/lib/mysql/plugin",
    "/usr/lib64/mariadb/plugin",
    "/usr/lib/mariadb/plugin",
];

/// The smallest redo log that the server accepts.
const REDO_LOG: &str = "--innodb-log-file-size=4M";

pub(super) struct Mariadb {
    server: PathBuf,
    initialiser: PathBuf,
    version: String,
}

impl Mariadb {
    pub(super) fn find() -> Result<Self, NotInstalled> {
        let find = |name| {
            program::find(name).ok_or_else(|| NotInstalled {
                missing: format!("MariaDB's program {name} was not found."),
                remedy: REMEDY,
            })
        };
        let server = find("mariadbd")?;
        let initialiser = find("mariadb-install-db")?;
        let version = program::installed(&server)
            .and_then(|line| program::version(&line).map(str::to_owned))
            .ok_or_else(|| NotInstalled {
                missing: format!("{} does not report its version.", server.display()),
                remedy: REMEDY,
            })?;
        Ok(Self {
            server,
            initialiser,
            version,
        })
    }

    /// The directory that contains the plugin.
    pub(super) fn plugins(&self) -> Option<PathBuf> {
        // `xtask/install.sh` puts the plugin there. A server loads only plugins of its own version.
        let cached = cache_dir().join(format!("mariadb-{}-plugins", self.version));
        let mut known = PLUGINS.iter().map(PathBuf::from).chain([cached]);
        known.find(|known| known.join("metadata_lock_info.so").exists())
    }
}

impl Engine for Mariadb {
    fn version(&self) -> &str {
        &self.version
    }

    fn initialise(&self, data: &Path, scratch: &Path) -> io::Result<Command> {
        let mut command = Command::new(&self.initialiser);
        command
            .args([
                flags::NO_DEFAULTS,
                "--auth-root-authentication-method=normal",
            ])
            // `--force`: even if the machine's own name cannot be looked up.
            .args(["--skip-test-db", "--force", REDO_LOG]);
        flags::initialise(&mut command, data, scratch);
        Ok(command)
    }

    fn serve(&self, server_dir: &ServerDir, port: u16) -> Command {
        let mut command = Command::new(&self.server);
        command.arg(flags::NO_DEFAULTS);
        flags::serve(&mut command, server_dir, port);
        // Aria's tables need not reach the disk either.
        command.args([REDO_LOG, "--debug-no-sync"]);
        if let Some(plugins) = self.plugins() {
            command.arg(format!("--plugin-dir={}", plugins.display()));
        }
        command
    }
}
