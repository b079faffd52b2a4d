//! Flags that both servers take.

use std::process::Command;

use crate::server_dir::ServerDir;

/// First of all: read no configuration file of the machine.
pub(super) const NO_DEFAULTS: &str = "--no-defaults";

/// Wherever InnoDB's files are made or opened: small, and not synced to the disk.
pub(super) const STORAGE: [&str; 3] = [
    "--innodb-data-file-path=ibdata1:12M:autoextend",
    // The default grows the file by 64 MB at a time.
    "--innodb-autoextend-increment=1",
    // A private server need not outlive the machine, only its own death.
    "--innodb-flush-method=nosync",
];

/// The servers refuse to run as root unless told to.
pub(super) fn user() -> Option<&'static str> {
    rustix::process::geteuid()
        .is_root()
        .then_some("--user=root")
}

/// What a running server gets.
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
        // 2: a commit survives the server's death, which tests bring about; 0 would lose a second.
        "--innodb-flush-log-at-trx-commit=2",
    ]);
}
