//! A server's own directory.

use std::env;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::supervisor::Supervisor;

/// A Unix socket's path holds 107 bytes. This leaves room for the directory's name and the file's.
const LONGEST_PARENT: usize = 80;

/// A temporary directory, and the supervisor that removes it.
pub(crate) struct ServerDir {
    path: PathBuf,
    supervisor: Supervisor,
}

impl ServerDir {
    /// Creates a directory that belongs to `user`, a user and group, or to this process's user.
    pub(crate) fn new(user: Option<u32>) -> io::Result<Self> {
        let parent = env::temp_dir();
        let parent = if parent.as_os_str().as_bytes().len() > LONGEST_PARENT {
            Path::new("/tmp")
        } else {
            &parent
        };
        let directory = tempfile::Builder::new().prefix("db-").tempdir_in(parent)?;
        chown(directory.path(), user, user)?;
        let supervisor = Supervisor::start(directory.path())?;
        // From here on the supervisor removes it, even if this process is killed.
        Ok(Self {
            path: TempDir::keep(directory),
            supervisor,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// The socket of PostgreSQL and PgBouncer, which choose the name.
    pub(crate) fn postgres_socket(&self, port: u16) -> PathBuf {
        self.path.join(format!(".s.PGSQL.{port}"))
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Opens the log, which is created on first use.
    pub(crate) fn open_log(&self) -> io::Result<File> {
        File::options().create(true).append(true).open(self.log())
    }

    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }
}
