//! Flags that MariaDB and MySQL both take.

use std::path::Path;
use std::process::Command;

use crate::server_dir::ServerDir;

/// The first flag: read no configuration file of the machine.
pub(super) const NO_DEFAULTS: &str = "--no-defaults";

/// For all uses of InnoDB's files: they are small, and not synced to the disk.
const STORAGE: [&str; 3] = [
    "--innodb-data-file-path=ibdata1:12M:autoextend",
    // The default grows the file by 64 MB at a time.
    "--innodb-autoextend-increment=1",
    // The data need not survive a crash of the machine, only one of the server.
    "--innodb-flush-method=nosync",
];

/// The servers run as root only with this flag.
fn user() -> Option<&'static str> {
    rustix::process::geteuid()
        .is_root()
        .then_some("--user=root")
}

/// Adds the flags of a program that creates a data directory. The program's temporary tables are in
/// `scratch`: a server that starts deletes all those in its own temporary directory.
pub(super) fn initialise(command: &mut Command, data: &Path, scratch: &Path) {
    command.args(STORAGE).args(user()).args([
        format!("--datadir={}", data.display()),
        format!("--tmpdir={}", scratch.display()),
    ]);
}

/// Adds the flags of a running server.
pub(super) fn serve(command: &mut Command, server_dir: &ServerDir, port: u16) {
    let path = |name: &str, path: std::path::PathBuf| format!("--{name}={}", path.display());
    command.args(STORAGE).args(user()).args([
        path("datadir", server_dir.data()),
        path("socket", server_dir.socket()),
        path("pid-file", server_dir.path().join("pid")),
        path("tmpdir", server_dir.path().to_owned()),
        format!("--port={port}"),
    ]);
    command.args([
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--max-connections=600",
        "--innodb-buffer-pool-size=32M",
        // A commit survives a killed server. With 0, the commits of a second would be lost.
        "--innodb-flush-log-at-trx-commit=2",
    ]);
}
