//! Commands of cargo. They have the same features, so that nothing is built twice.

use std::env;
use std::path::Path;
use std::process::Command;

use test_server::ServerKind;

/// The tested features. Left out are `bundled`, which compiles a MySQL client library from source,
/// `buildtime_bindgen`, which needs libclang, and `128-column-tables`, which takes minutes.
const FEATURES: &str = "uuid,chrono,time,64-column-tables,tracing,metrics";

/// The servers that a command compiles the library for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Backends {
    /// MariaDB and MySQL. The whole workspace needs their client library.
    Mysql,
    /// PostgreSQL as well, which needs another client library.
    All,
}

impl Backends {
    /// What tests on these servers need.
    pub(crate) fn of(kinds: &[ServerKind]) -> Self {
        match kinds.iter().any(|kind| kind.is_postgres()) {
            true => Self::All,
            false => Self::Mysql,
        }
    }

    fn features(self) -> String {
        match self {
            Self::Mysql => FEATURES.to_owned(),
            Self::All => format!("{POSTGRES},{FEATURES}"),
        }
    }
}

/// The feature for PostgreSQL, of the library and of the packages below.
pub(crate) const POSTGRES: &str = "postgres";

/// The package for diesel-async, and its tested features that no other package has.
pub(crate) const ASYNC: &str = "diesel-advisory-lock-async";
const ASYNC_FEATURES: &str = "diesel-advisory-lock-async/derive,diesel-advisory-lock-async/mysql,\
     diesel-advisory-lock-async/deadpool,diesel-advisory-lock-async/bb8";
const STRESS: &str = "stress";
const STRESS_FEATURES: &str = "stress/async";

/// The command-line tool. It has the features of all servers by default.
pub(crate) const CLI: &str = "diesel-advisory-lock-cli";

/// The other packages that have default features.
const WITH_DEFAULTS: [&str; 8] = [
    ASYNC,
    "axum_wallet",
    LIBRARY,
    "job_queue",
    "leader",
    "migrations",
    "notification",
    "once_per_period",
];

/// The other packages that have the feature.
const WITH_POSTGRES: [&str; 11] = [
    ASYNC,
    "axum_wallet",
    "benches",
    CLI,
    "instructions",
    "job_queue",
    "leader",
    "migrations",
    "notification",
    "once_per_period",
    STRESS,
];

/// The feature of xtask that compiles its test of the public interface.
pub(crate) const PUBLIC_API: &str = "xtask/public-api";

/// The library's package.
pub(crate) const LIBRARY: &str = "diesel-advisory-lock";

/// The workspace's root.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// A cargo command in the workspace's root.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(verb).current_dir(workspace());
    command
}

/// A cargo command for the whole workspace, with the tested features.
pub(crate) fn cargo_workspace(verb: &str, backends: Backends) -> Command {
    let mut command = cargo(verb);
    command.args(["--workspace", "--features", &backends.features()]);
    command.args(["--features", ASYNC_FEATURES]);
    command.args(["--features", STRESS_FEATURES]);
    if backends == Backends::Mysql {
        cli_without_postgres(&mut command, |_| true);
    }
    command
}

/// Leaves out the tool's feature for PostgreSQL, whose client library may be missing. The other
/// packages keep their default features.
fn cli_without_postgres(command: &mut Command, includes: impl Fn(&str) -> bool) {
    command.arg("--no-default-features");
    command.args(["--features", &format!("{CLI}/mysql")]);
    for package in WITH_DEFAULTS.into_iter().filter(|name| includes(name)) {
        command.args(["--features", &format!("{package}/default")]);
    }
}

/// A cargo command for packages that further arguments name. Cargo ignores `--package` beside
/// `--workspace`.
pub(crate) fn cargo_packages(verb: &str, backends: Backends, packages: &[String]) -> Command {
    let mut command = cargo(verb);
    let includes = |name: &str| packages.iter().any(|package| package == name);
    // Cargo refuses features that none of the packages has.
    if includes(LIBRARY) {
        command.args(["--features", &backends.features()]);
    } else if backends == Backends::All && WITH_POSTGRES.iter().any(|name| includes(name)) {
        command.args(["--features", POSTGRES]);
    }
    if includes(ASYNC) {
        command.args(["--features", ASYNC_FEATURES]);
    }
    if includes(STRESS) {
        command.args(["--features", STRESS_FEATURES]);
    }
    if includes(CLI) && backends == Backends::Mysql {
        cli_without_postgres(&mut command, includes);
    }
    command
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads the members of the workspace and whether each has default features.
    #[test]
    fn packages_with_default_features_are_listed() {
        let root = fs::read_to_string(workspace().join("Cargo.toml")).expect("a manifest");
        let members = root.split_once("members = [").expect("members").1;
        let (members, _) = members.split_once(']').expect("the end of the members");
        let members = members.split('"').skip(1).step_by(2).map(|member| {
            fs::read_to_string(workspace().join(member).join("Cargo.toml")).expect("a manifest")
        });
        let mut found: Vec<_> = members
            .chain([root.clone()])
            .filter(|manifest| manifest.contains("\ndefault = ["))
            .map(|manifest| {
                let name = manifest
                    .split_once("[package]\nname = \"")
                    .expect("a name")
                    .1;
                name.split('"').next().unwrap_or_default().to_owned()
            })
            .filter(|name| name != CLI)
            .collect();
        found.sort_unstable();
        let mut listed = WITH_DEFAULTS.to_vec();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }
}
