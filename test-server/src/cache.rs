//! Where files live that outlast a test run.

use std::env;
use std::path::{Path, PathBuf};

/// The directory `target/servers`, or that of the variable `TEST_SERVER_CACHE`: templates of data
/// directories, file trees of other servers, and MariaDB's plugin.
///
/// It follows `CARGO_TARGET_DIR`. A relative path counts from the workspace's root, because tests
/// run in their package's directory.
pub fn cache_dir() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().unwrap_or(package);
    // Set for a copy of the workspace, which has no `target`.
    if let Some(cache) = env::var_os("TEST_SERVER_CACHE") {
        return workspace.join(cache);
    }
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace.join(target).join("servers")
}

/// Where `cargo xtask` puts the Debian file tree that holds MySQL.
pub fn mysql_tree() -> PathBuf {
    cache_dir().join("mysql-sid")
}

/// Where `cargo xtask` puts the Debian file tree that holds PostgreSQL 18.
pub(crate) fn postgres_tree() -> PathBuf {
    cache_dir().join("postgres-sid")
}

/// Where `cargo xtask` puts the Debian file tree that holds PgBouncer.
pub(crate) fn pgbouncer_tree() -> PathBuf {
    cache_dir().join("pgbouncer-sid")
}
