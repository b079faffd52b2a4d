//! `cargo xtask check-release`: packages, oldest versions, sets of features, public interface.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{ASYNC, Backends, CLI, LIBRARY, PUBLIC_API, cargo, cargo_workspace, workspace};
use crate::install::{self, Need};
use crate::step;
use crate::tools::{self, Tool};

pub(crate) fn run() -> Result<()> {
    install::ensure(&Need::CLIENT_LIBRARIES)?;
    let mut package = cargo("package");
    package.args(["--package", "diesel-advisory-lock-derive"]);
    package.args(["--package", LIBRARY, "--package", CLI, "--allow-dirty"]);
    step::run(
        "build the packages from what would be uploaded",
        &mut package,
    )?;
    minimal_versions()?;
    features(Sets::All)?;
    api(false)
}

/// The oldest versions that the manifest allows: not every one of them has what the library uses.
pub(crate) fn minimal_versions() -> Result<()> {
    let script = workspace().join("xtask/minimal-versions.sh");
    step::run("oldest versions allowed", Command::new("bash").arg(script))
}

/// Sets of features, of which each must compile without a warning. Those of keys count as one.
pub(crate) enum Sets {
    All,
    /// These take a third of the time, and find most mistakes.
    Pairs,
}

pub(crate) fn features(sets: Sets) -> Result<()> {
    let mut hack = tools::cargo(&Tool::HACK)?;
    hack.args(["hack", "clippy", "--package", LIBRARY, "--feature-powerset"])
        .args(["--group-features", "uuid,chrono,time"])
        // The client library from source takes minutes to compile.
        .args(["--exclude-features", "default,bundled,buildtime_bindgen"])
        .args(["--exclude-features", COLUMNS])
        // A server without a connection is for the async crate, which is checked below.
        .args(["--exclude-features", "mysql_backend,postgres_backend"]);
    let name = match sets {
        Sets::All => "every set of features",
        Sets::Pairs => {
            hack.args(["--depth", "2"]);
            "every pair of features"
        }
    };
    step::run(name, hack.args(["--", "-D", "warnings"]))?;

    let mut hack = tools::cargo(&Tool::HACK)?;
    hack.args([
        "hack",
        "clippy",
        "--package",
        ASYNC,
        "--lib",
        "--each-feature",
    ])
    .args(["--exclude-features", "default"])
    .args(["--exclude-features", COLUMNS]);
    let name = "each feature of the async crate";
    step::run(name, hack.args(["--", "-D", "warnings"]))?;

    let mut hack = tools::cargo(&Tool::HACK)?;
    hack.args(["hack", "clippy", "--package", CLI, "--each-feature"])
        // It needs a server.
        .args(["--exclude-no-default-features", "--all-targets"])
        .args(["--exclude-features", "default"]);
    let name = "each feature of the command-line tool";
    step::run(name, hack.args(["--", "-D", "warnings"]))
}

/// Tuples of more columns in Diesel take minutes to compile.
const COLUMNS: &str = "32-column-tables,64-column-tables,128-column-tables";

/// Compares the public interfaces with `docs/public-api.txt` and `docs/public-api-async.txt`, so that
/// each change of them is reviewed.
pub(crate) fn api(bless: bool) -> Result<()> {
    install::ensure(&Need::CLIENT_LIBRARIES)?;
    // For the whole workspace: then its dependencies have the features of `cargo xtask test`.
    let mut test = cargo_workspace("test", Backends::All);
    test.args(["--features", PUBLIC_API, "--test", "public_api"]);
    if bless {
        test.env("UPDATE_SNAPSHOTS", "yes");
    }
    step::run("public interface", &mut test).inspect_err(|_| {
        eprintln!(
            "If the change is intended, describe it in CHANGELOG.md and run \
             `cargo xtask api --bless`."
        );
    })
}
