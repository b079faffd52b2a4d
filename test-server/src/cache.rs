//! Where files live that outlast a test run.

use std::env;
use std::path::{Path, PathBuf};

/// The directory `target/servers`: templates of data directories and MySQL's file tree.
///
/// It follows `CARGO_TARGET_DIR`. A relative one counts from the workspace's root, because tests
/// run in their package's directory.
pub fn cache_dir() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().unwrap_or(package);
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace.join(target).join("servers")
}

/// Where `cargo xtask` puts the Debian file tree that holds MySQL.
pub fn mysql_tree() -> PathBuf {
    cache_dir().join("mysql-sid")
}
