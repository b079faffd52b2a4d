//! A Galera cluster of two MariaDB servers.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::error::{NotInstalled, StartError};
use crate::kind::ServerKind;
use crate::port::Port;
use crate::server::{Data, Origin, Server};

/// Where Debian and other systems install the library.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
];

const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Two servers with the same data. They end, and their directories are removed, as for a
/// [`Server`].
pub struct Galera {
    nodes: [Server; 2],
    /// One for each server of the group, and one for the transfer to the second.
    _ports: [Port; 3],
    _scripts: TempDir,
}

impl Galera {
    /// Starts a cluster and waits until both nodes have joined.
    ///
    /// # Errors
    ///
    /// If MariaDB or Galera's library is not installed, or a node does not start.
    pub fn start() -> Result<Self, StartError> {
        let library = library()?;
        let scripts = scripts().map_err(StartError::doing("write the transfer's script"))?;
        let port = || Port::reserve().map_err(StartError::doing("find a free port"));
        let ports = [port()?, port()?, port()?];
        let [one, two, transfer] = ports.each_ref().map(Port::number);
        let arguments = |listen: u16, group: &str| {
            [
                "--wsrep-on=ON".to_owned(),
                format!("--wsrep-provider={}", library.display()),
                format!("--wsrep-cluster-address=gcomm://{group}"),
                "--wsrep-node-address=127.0.0.1".to_owned(),
                format!(
                    "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{listen};\
                     ist.recv_addr=127.0.0.1:{transfer};gcache.size=8M"
                ),
                "--wsrep-sst-method=same".to_owned(),
                "--binlog-format=ROW".to_owned(),
                "--innodb-autoinc-lock-mode=2".to_owned(),
            ]
        };
        let origin = Origin {
            programs: Some(scripts.path()),
            data: Data::Template,
        };
        let mut of_first: Vec<String> = arguments(one, "").into();
        of_first.push("--wsrep-new-cluster".to_owned());
        let first = Server::start_from(origin, ServerKind::Mariadb, of_first)?;
        until_synced(&first, 1)?;
        // The other starts with the same data, which contain the beginning of the first one's
        // history.
        first.stop();
        let data = first.directory().join("data");
        let other = arguments(two, &format!("127.0.0.1:{one}")).into();
        let origin = Origin {
            data: Data::CopyOf(&data),
            ..origin
        };
        let other = Server::prepare(origin, ServerKind::Mariadb, other)?;
        first.start_again()?;
        until_synced(&first, 2)?;
        other.start_again()?;
        until_synced(&other, 1)?;
        Ok(Galera {
            nodes: [first, other],
            _ports: ports,
            _scripts: scripts,
        })
    }

    /// Checks that MariaDB and Galera's library are installed.
    ///
    /// # Errors
    ///
    /// If not. The message says in two lines what is missing and how to install it.
    pub fn availability() -> Result<(), NotInstalled> {
        ServerKind::Mariadb.availability()?;
        library().map(drop)
    }

    pub fn nodes(&self) -> &[Server; 2] {
        &self.nodes
    }
}

fn library() -> Result<PathBuf, NotInstalled> {
    let found = LIBRARIES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.ok_or_else(|| NotInstalled {
        missing: "Galera's library libgalera_smm.so was not found.".to_owned(),
        remedy: "Run `cargo xtask setup --server mariadb`, or install the package galera-4.",
    })
}

fn scripts() -> io::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("galera-").tempdir()?;
    let script = directory.path().join("wsrep_sst_same");
    fs::write(&script, include_str!("galera.sh"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// Waits until a server has joined after its start number `time`. Without an account, only the log
/// shows that.
fn until_synced(server: &Server, time: usize) -> Result<(), StartError> {
    let since = Instant::now();
    while server.log().matches("Synchronized with group").count() < time {
        if since.elapsed() > STARTUP_TIMEOUT {
            return Err(server.timed_out(STARTUP_TIMEOUT));
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
