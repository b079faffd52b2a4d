//! MySQL, from a Debian file tree or from the system's packages.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::{self, Tree};
use super::{Engine, flags, program};
use crate::cache::mysql_tree;
use crate::error::NotInstalled;
use crate::server_dir::ServerDir;

const REMEDY: &str = "Run `cargo xtask setup --server mysql`, or install MySQL 8 or later.";

/// Ubuntu's profile, which lets a packaged mysqld write only below /var/lib/mysql.
const CONFINEMENT: &str = "/etc/apparmor.d/usr.sbin.mysqld";

/// For making and for serving a data directory. The binary log is on by default.
const STORAGE: [&str; 3] = [
    "--skip-log-bin",
    "--innodb-redo-log-capacity=8M",
    "--innodb-doublewrite=OFF",
];

/// The server creates only an account for `localhost`. With `--skip-name-resolve`, that is valid
/// only for the socket.
const ACCOUNTS: &str = "\
CREATE USER 'root'@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
";

pub(super) struct Mysql {
    /// The program and its first arguments.
    program: Vec<OsString>,
    /// Flags for where its files are, if they are not in the default place.
    layout: Vec<OsString>,
    version: String,
}

impl Mysql {
    pub(super) fn find() -> Result<Self, NotInstalled> {
        let tree = mysql_tree();
        Self::in_tree(&tree)
            .or_else(Self::of_system)
            .ok_or_else(|| NotInstalled {
                missing: format!(
                    "MySQL was not found, neither in {} nor as mysqld.",
                    tree.display()
                ),
                remedy: REMEDY,
            })
    }

    fn in_tree(tree: &Path) -> Option<Self> {
        let tree = Tree::find(tree)?;
        let usr = &tree.usr;
        let program = tree.program(&usr.join("sbin/mysqld"));
        let flag = |name: &str, path: PathBuf| {
            let mut flag = OsString::from(name);
            flag.push(path);
            flag
        };
        let layout = vec![
            flag("--basedir=", usr.clone()),
            flag("--lc-messages-dir=", usr.join("share/mysql")),
            flag("--character-sets-dir=", usr.join("share/mysql/charsets")),
            flag("--plugin-dir=", usr.join("lib/mysql/plugin")),
        ];
        Self::checked(program, layout)
    }

    fn of_system() -> Option<Self> {
        if Path::new(CONFINEMENT).exists() {
            return None;
        }
        let server = program::find("mysqld")?;
        Self::checked(vec![server.into()], Vec::new())
    }

    /// `None` if the program does not run, is too old, or is MariaDB under its old name.
    fn checked(program: Vec<OsString>, layout: Vec<OsString>) -> Option<Self> {
        let line = program::version_line(tree::command(&program)).ok()?;
        let version = program::version(&line)?.to_owned();
        let major: u32 = version.split('.').next()?.parse().ok()?;
        (major >= 8 && !line.contains("MariaDB")).then_some(Self {
            program,
            layout,
            version,
        })
    }

    fn command(&self) -> Command {
        let mut command = tree::command(&self.program);
        command.arg(flags::NO_DEFAULTS).args(&self.layout);
        command
    }
}

impl Engine for Mysql {
    fn version(&self) -> &str {
        &self.version
    }

    fn initialise(&self, data: &Path, scratch: &Path) -> io::Result<Command> {
        let accounts = scratch.join("accounts.sql");
        fs::write(&accounts, ACCOUNTS)?;
        let mut command = self.command();
        command
            .arg("--initialize-insecure")
            .args(STORAGE)
            .arg(format!("--init-file={}", accounts.display()));
        flags::initialise(&mut command, data, scratch);
        Ok(command)
    }

    fn serve(&self, server_dir: &ServerDir, port: u16) -> Command {
        let mut command = self.command();
        flags::serve(&mut command, server_dir, port);
        command.args(STORAGE).args([
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
            // Creating keys takes a second, and no connection leaves the machine.
            "--auto-generate-certs=OFF",
        ]);
        command
    }
}
