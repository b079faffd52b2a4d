//! PgBouncer, a pool of sessions that its clients share.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cache::pgbouncer_tree;
use crate::error::{LogTail, NotInstalled, StartError};
use crate::handshake::postgres::{self, Account};
use crate::kind::ServerKind;
use crate::kind::program::{self, user_instead_of_root};
use crate::kind::tree::{self, Tree};
use crate::port::Port;
use crate::process::Process;
use crate::server::{STARTUP_TIMEOUT, Server, ended_early, on_some_port, url};
use crate::server_dir::ServerDir;

/// The program's name in errors.
const NAME: &str = "pgbouncer";

/// A running PgBouncer. It ends, and its directory is removed, as for a [`Server`].
pub struct PgBouncer {
    port: Port,
    /// Ends before `server_dir`, which removes the files.
    process: Process,
    server_dir: ServerDir,
}

/// When a client gives its session of the server back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// When the client disconnects.
    Session,
    /// After each transaction.
    Transaction,
    /// After each statement.
    Statement,
}

impl PgBouncer {
    /// Starts PgBouncer in front of a PostgreSQL server that runs, and waits until it is ready. For
    /// each database, up to `pool_size` sessions are opened.
    ///
    /// # Errors
    ///
    /// If PgBouncer is not installed, or does not start.
    ///
    /// # Panics
    ///
    /// If the server is not a PostgreSQL server.
    pub fn start(server: &Server, mode: PoolMode, pool_size: u32) -> Result<Self, StartError> {
        assert!(server.kind().is_postgres(), "PgBouncer needs PostgreSQL");
        let program = program()?;
        on_some_port(|port| Self::on_port(port, &program, server, mode, pool_size))
    }

    fn on_port(
        port: Port,
        program: &[OsString],
        server: &Server,
        mode: PoolMode,
        pool_size: u32,
    ) -> Result<Self, StartError> {
        let doing = || StartError::doing(format!("start {NAME}"));
        let user = user_instead_of_root();
        let server_dir = ServerDir::new(user).map_err(doing())?;
        let settings = server_dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={} user=root\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {}\n\
             unix_socket_dir = {}\n\
             auth_type = any\n\
             pool_mode = {mode}\n\
             default_pool_size = {pool_size}\n\
             max_client_conn = 600\n",
            server.port(),
            port.number(),
            server_dir.path().display(),
        );
        fs::write(&settings, text).map_err(doing())?;
        let mut command = tree::command(program);
        command.arg(settings);
        let log = server_dir.open_log().map_err(doing())?;
        let process =
            Process::start(&command, user, &log, server_dir.supervisor()).map_err(doing())?;
        let mut started = Self {
            port,
            process,
            server_dir,
        };
        started.wait_until_ready()?;
        Ok(started)
    }

    /// Checks that PgBouncer is installed on this machine.
    ///
    /// # Errors
    ///
    /// If it is not. The message says in two lines what is missing and how to install it.
    pub fn availability() -> Result<(), NotInstalled> {
        program().map(drop)
    }

    /// The URL for Diesel: as `root`, over TCP. If `database` is empty, it is `postgres`.
    pub fn url(&self, database: &str) -> String {
        url(ServerKind::Postgres, self.port(), database)
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        let log = fs::read(self.server_dir.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until a client can log in at the server.
    fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let since = Instant::now();
        while since.elapsed() < STARTUP_TIMEOUT {
            let exited = self.process.exited();
            if let Some(status) = exited.map_err(StartError::doing("wait"))? {
                return Err(ended_early(NAME.to_owned(), status, self.log_tail()));
            }
            if self.log_in().is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
        }
        Err(StartError::TimedOut {
            server: NAME.to_owned(),
            seconds: STARTUP_TIMEOUT.as_secs(),
            log: self.log_tail(),
        })
    }

    fn log_in(&self) -> io::Result<String> {
        let stream = UnixStream::connect(self.server_dir.postgres_socket(self.port()))?;
        stream.set_read_timeout(Some(STARTUP_TIMEOUT))?;
        postgres::version(stream, &Account::default())
    }

    fn log_tail(&self) -> LogTail {
        LogTail::of_file(&self.server_dir.log())
    }
}

impl fmt::Display for PoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        })
    }
}

/// The program of the Debian file tree with its first arguments, or the system's.
fn program() -> Result<Vec<OsString>, NotInstalled> {
    let tree = pgbouncer_tree();
    let of_tree = Tree::find(&tree).map(|tree| tree.program(&tree.usr.join("sbin/pgbouncer")));
    of_tree
        .or_else(|| Some(vec![program::find("pgbouncer")?.into()]))
        .ok_or_else(|| NotInstalled {
            missing: format!(
                "PgBouncer was not found, neither in {} nor as pgbouncer.",
                tree.display()
            ),
            remedy: "Run `cargo xtask setup --server postgres`, or install the package pgbouncer.",
        })
}
