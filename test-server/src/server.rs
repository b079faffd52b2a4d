//! A private server, and what a test does to it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{LogTail, StartError};
use crate::handshake;
use crate::kind::{Engine, ServerKind};
use crate::port::Port;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::server_dir::ServerDir;
use crate::template;

/// For starting and for stopping.
pub(crate) const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// What is logged if the port is taken, by MariaDB and MySQL, PostgreSQL, and PgBouncer.
const PORT_TAKEN: [&str; 3] = [
    "Bind on TCP/IP port",
    "could not bind IPv4 address",
    "Address already in use",
];

/// How many ports are tried.
const PORTS: usize = 3;

/// A private server. It ends, and its directory is removed, on drop and when this process dies.
///
/// All methods take `&self`, so that threads can share it. A server that was stopped or killed
/// keeps its port and its data.
pub struct Server {
    kind: ServerKind,
    engine: Box<dyn Engine>,
    arguments: Vec<String>,
    /// The server's search path for programs, if it is not that of this process.
    path: Option<OsString>,
    port: Port,
    /// Ends before `server_dir`, which removes the files.
    process: Mutex<Option<Process>>,
    server_dir: ServerDir,
    socket: PathBuf,
}

/// The programs and data of a new server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Origin<'p> {
    /// A directory of programs that the server calls.
    pub(crate) programs: Option<&'p Path>,
    pub(crate) data: Data<'p>,
}

/// The data of a new server.
#[derive(Clone, Copy, Default)]
pub(crate) enum Data<'p> {
    /// A copy of a new data directory, which is created once.
    #[default]
    Template,
    /// A copy of a stopped server's data.
    CopyOf(&'p Path),
    /// New data, created with the server's flags.
    Initialised,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If this kind is not installed, or the server does not start. The message contains the end of
    /// the server's log.
    pub fn start(kind: ServerKind) -> Result<Self, StartError> {
        Self::start_with(kind, &[])
    }

    /// Like [`start`](Self::start), with further flags for the server, such as
    /// `--lc-messages=de_DE`.
    ///
    /// # Errors
    ///
    /// As for `start`.
    pub fn start_with(kind: ServerKind, arguments: &[&str]) -> Result<Self, StartError> {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self::start_from(Origin::default(), kind, arguments)
    }

    /// Like [`start_with`](Self::start_with), with data that are created with these flags as well.
    /// MySQL requires this for `--lower-case-table-names`. It takes seconds.
    ///
    /// # Errors
    ///
    /// As for `start`.
    pub fn start_initialised_with(
        kind: ServerKind,
        arguments: &[&str],
    ) -> Result<Self, StartError> {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let origin = Origin {
            data: Data::Initialised,
            ..Origin::default()
        };
        Self::start_from(origin, kind, arguments)
    }

    pub(crate) fn start_from(
        origin: Origin<'_>,
        kind: ServerKind,
        arguments: Vec<String>,
    ) -> Result<Self, StartError> {
        on_some_port(|port| {
            let server = Self::on_port(port, origin, kind, arguments.clone())?;
            server.start_again()?;
            Ok(server)
        })
    }

    /// Does everything but start the server.
    pub(crate) fn prepare(
        origin: Origin<'_>,
        kind: ServerKind,
        arguments: Vec<String>,
    ) -> Result<Self, StartError> {
        on_some_port(|port| Self::on_port(port, origin, kind, arguments.clone()))
    }

    fn on_port(
        port: Port,
        origin: Origin<'_>,
        kind: ServerKind,
        arguments: Vec<String>,
    ) -> Result<Self, StartError> {
        let engine = kind.engine()?;
        let server_dir = ServerDir::new(engine.user())
            .map_err(StartError::doing("create the server's directory"))?;
        match origin.data {
            Data::Template => template::copy(kind, &*engine, &server_dir.data())?,
            Data::CopyOf(data) => template::copy_of(kind, data, &server_dir.data())?,
            Data::Initialised => template::make(kind, &*engine, &server_dir.data(), &arguments)?,
        }
        Ok(Self {
            kind,
            socket: engine.socket(&server_dir, port.number()),
            engine,
            arguments,
            path: origin.programs.map(with_path),
            port,
            process: Mutex::new(None),
            server_dir,
        })
    }

    /// The server that all tests of one process share. It starts on first use.
    ///
    /// # Panics
    ///
    /// If it does not start; the message contains the end of the server's log.
    pub fn shared(kind: ServerKind) -> &'static Self {
        static SHARED: [OnceLock<Server>; ServerKind::ALL.len()] =
            [const { OnceLock::new() }; ServerKind::ALL.len()];
        SHARED[kind as usize].get_or_init(|| match Self::start(kind) {
            Ok(server) => server,
            Err(error) => panic!("{error}"),
        })
    }

    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// The URL for Diesel: as `root`, over TCP. If `database` is empty, a client of MariaDB or MySQL
    /// has no database, and one of PostgreSQL has `postgres`.
    pub fn url(&self, database: &str) -> String {
        url(self.kind, self.port(), database)
    }

    /// Like [`url`](Self::url), through a proxy.
    ///
    /// # Panics
    ///
    /// If the proxy's upstream is not this server.
    pub fn url_through(&self, proxy: &Proxy, database: &str) -> String {
        assert_eq!(proxy.upstream(), self.address(), "the proxy's upstream");
        url(self.kind, proxy.port(), database)
    }

    /// The address on which the server listens. A [`Proxy`] is started with it.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn socket_path(&self) -> &Path {
        &self.socket
    }

    /// The directory with the server's files.
    pub fn directory(&self) -> &Path {
        self.server_dir.path()
    }

    /// The server's process id; `None` while it is stopped or killed.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        let log = fs::read(self.server_dir.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Connects over TCP and returns the version that the server reports first.
    ///
    /// # Errors
    ///
    /// If the server does not answer within `timeout`.
    pub fn handshake(&self, timeout: Duration) -> io::Result<String> {
        let stream = TcpStream::connect_timeout(&self.address(), timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        handshake::version(self.kind, stream)
    }

    /// Shuts the server down and waits until it has ended. It ends its sessions and does not wait
    /// for clients. No effect on a stopped server.
    ///
    /// # Panics
    ///
    /// If it does not end within a minute; the message contains the end of its log.
    pub fn stop(&self) {
        let signal = match self.kind.is_postgres() {
            // SIGTERM would wait for the clients.
            true => Signal::INT,
            false => Signal::TERM,
        };
        // A paused process sees the signal only when it is resumed.
        self.end(|process| process.signal(signal).and_then(|()| process.resume()));
    }

    /// Kills the server, as a crash would. No effect on a stopped server.
    pub fn kill(&self) {
        self.end(Process::kill);
    }

    /// Starts a stopped or killed server on the same port and data. No effect on a running server.
    ///
    /// # Errors
    ///
    /// If the server does not start.
    pub fn start_again(&self) -> Result<(), StartError> {
        let mut process = self.process();
        if process.is_none() {
            *process = Some(self.launch()?);
        }
        Ok(())
    }

    /// Stops the server and starts it again.
    ///
    /// # Errors
    ///
    /// If the server does not start.
    pub fn restart(&self) -> Result<(), StartError> {
        self.stop();
        self.start_again()
    }

    /// Freezes the server: connections stay open, and it answers nothing. No effect on a stopped
    /// server.
    pub fn pause(&self) {
        self.with_process(Process::pause);
    }

    /// Ends [`pause`](Self::pause).
    pub fn resume(&self) {
        self.with_process(Process::resume);
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_process(&self, signal: impl Fn(&Process) -> io::Result<()>) {
        if let Some(process) = self.process().as_ref() {
            signal(process).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.kind));
        }
    }

    fn end(&self, signal: impl Fn(&Process) -> io::Result<()>) {
        let mut process = self.process();
        let Some(running) = process.as_mut() else {
            return;
        };
        let ended = signal(running).and_then(|()| running.wait(STARTUP_TIMEOUT));
        // Kills the process if it still runs.
        *process = None;
        drop(process);
        let forgotten = self.server_dir.supervisor().watch(None);
        if let Err(error) = ended.and(forgotten) {
            panic!("cannot end {}: {error}\n{}", self.kind, self.log_tail());
        }
    }

    fn launch(&self) -> Result<Process, StartError> {
        let doing = || StartError::doing(format!("start {}", self.kind));
        let log = self.server_dir.open_log().map_err(doing())?;
        // A killed server leaves its socket behind.
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(doing()(error)),
            _ => {}
        }
        let mut command = self.engine.serve(&self.server_dir, self.port());
        command.args(&self.arguments);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        let (user, supervisor) = (self.engine.user(), self.server_dir.supervisor());
        let mut process = Process::start(&command, user, &log, supervisor).map_err(doing())?;
        match self.wait_until_ready(&mut process) {
            Ok(()) => Ok(process),
            Err(error) => {
                drop(process);
                self.server_dir.supervisor().watch(None).map_err(doing())?;
                Err(error)
            }
        }
    }

    fn wait_until_ready(&self, process: &mut Process) -> Result<(), StartError> {
        let since = Instant::now();
        while since.elapsed() < STARTUP_TIMEOUT {
            if let Some(status) = process.exited().map_err(StartError::doing("wait"))? {
                return Err(ended_early(self.kind.to_string(), status, self.log_tail()));
            }
            // Over the socket, which is in a private directory. At the port, another server could
            // answer. All kinds of server open the port first.
            if self.handshake_over_socket().is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
        }
        Err(self.timed_out(STARTUP_TIMEOUT))
    }

    pub(crate) fn timed_out(&self, timeout: Duration) -> StartError {
        StartError::TimedOut {
            server: self.kind.to_string(),
            seconds: timeout.as_secs(),
            log: self.log_tail(),
        }
    }

    fn handshake_over_socket(&self) -> io::Result<String> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(STARTUP_TIMEOUT))?;
        handshake::version(self.kind, stream)
    }

    fn log_tail(&self) -> LogTail {
        LogTail::of_file(&self.server_dir.log())
    }
}

/// The search path with another directory in front.
fn with_path(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

pub(crate) fn url(kind: ServerKind, port: u16, database: &str) -> String {
    let (scheme, database) = match (kind.is_postgres(), database) {
        (true, "") => ("postgres", "postgres"),
        (true, database) => ("postgres", database),
        (false, database) => ("mysql", database),
    };
    format!("{scheme}://root@127.0.0.1:{port}/{database}")
}

/// The error of a program that ended before it was ready.
pub(crate) fn ended_early(server: String, status: ExitStatus, log: LogTail) -> StartError {
    if PORT_TAKEN.iter().any(|message| log.contains(message)) {
        StartError::PortTaken { server, log }
    } else {
        StartError::Exited {
            server,
            status,
            log,
        }
    }
}

/// Tries up to [`PORTS`] ports, as long as the port of an attempt is taken.
pub(crate) fn on_some_port<T>(
    mut attempt: impl FnMut(Port) -> Result<T, StartError>,
) -> Result<T, StartError> {
    let mut tried = 1;
    loop {
        let port = Port::reserve().map_err(StartError::doing("find a free port"))?;
        match attempt(port) {
            Err(StartError::PortTaken { .. }) if tried < PORTS => tried += 1,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken<T>() -> Result<T, StartError> {
        Err(StartError::PortTaken {
            server: "mariadb".to_owned(),
            log: LogTail::of_text(""),
        })
    }

    #[test]
    fn taken_port_is_replaced_by_another() {
        let mut seen = Vec::new();
        let last = on_some_port(|port| {
            seen.push(port.number());
            if seen.len() < 3 {
                taken()
            } else {
                Ok(port.number())
            }
        });
        assert_eq!(seen.len(), 3);
        assert_eq!(last.ok(), seen.last().copied());
    }

    #[test]
    fn number_of_tried_ports_is_limited() {
        let mut tried = 0;
        let result = on_some_port(|_| {
            tried += 1;
            taken::<()>()
        });
        assert!(matches!(result, Err(StartError::PortTaken { .. })));
        assert_eq!(tried, PORTS);
    }

    #[test]
    fn server_can_be_shared_between_threads() {
        fn shareable<T: Send + Sync + 'static>() {}
        shareable::<Server>();
        shareable::<StartError>();
    }
}
