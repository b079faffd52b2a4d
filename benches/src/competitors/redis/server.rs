//! A private Redis server without persistence.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redis::Client;

use crate::database::Transport;

/// In Debian's package redis-tools, the server is installed as redis-check-rdb, without a service
/// that starts at boot. The program acts according to the name it is run as.
const PROGRAMS: [&str; 2] = ["redis-server", "redis-check-rdb"];

/// Ends the server when the pipe closes, as it does on any death of this process.
const KEEPER: &str = r#""$@" & read -r _; kill $!; wait"#;

const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The server ends on drop, and when this process dies.
pub(crate) struct Server {
    keeper: Child,
    port: u16,
    socket: PathBuf,
}

impl Server {
    /// Starts the server in a new directory below `parent`, which the caller removes.
    pub(crate) fn start(parent: &Path) -> Result<Self> {
        let program = find().context("redis-server is not installed")?;
        let server_dir = parent.join("redis");
        fs::create_dir(&server_dir)?;
        let renamed = server_dir.join("redis-server");
        symlink(program, &renamed)?;
        let log = server_dir.join("log");
        let port = free_port()?;
        let socket = server_dir.join("socket");
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(renamed)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .arg("--unixsocket")
            .arg(&socket)
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(&server_dir)
            .stdin(Stdio::piped())
            .stdout(File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self {
            keeper,
            port,
            socket,
        };
        let since = Instant::now();
        while !server.answers() {
            if since.elapsed() > STARTUP_TIMEOUT {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("Redis does not answer. Its log:\n{log}");
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub(crate) fn url(&self, transport: Transport) -> String {
        match transport {
            Transport::Tcp | Transport::Delayed => format!("redis://127.0.0.1:{}", self.port),
            Transport::Socket => format!("redis+unix://{}", self.socket.display()),
        }
    }

    fn answers(&self) -> bool {
        // Over the socket: another program may listen on the port.
        Client::open(self.url(Transport::Socket))
            .is_ok_and(|client| client.get_connection().is_ok())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.keeper.stdin = None;
        let _ = self.keeper.wait();
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<_> = std::env::split_paths(&path).collect();
    PROGRAMS
        .iter()
        .flat_map(|name| {
            directories
                .iter()
                .map(move |directory| directory.join(name))
        })
        .find(|program| program.is_file())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
