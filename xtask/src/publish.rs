//! The checks before a release: `release` runs all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{LIBRARY, cargo, cargo_workspace, workspace};
use crate::install::{self, Need};
use crate::step;
use crate::tools::{self, Tool};

const DERIVE: &str = "diesel-advisory-lock-derive";

/// Whoever builds the library needs it.
fn ensure_client_library() -> Result<()> {
    install::ensure(&[Need::ClientLibrary])
}

/// All of it, before a release.
pub(crate) fn release() -> Result<()> {
    package()?;
    minimal()?;
    features(Sets::All)?;
    deny(true)?;
    typos()?;
    api(false)?;
    semver()
}

/// For each change: all that needs nothing but the registry.
pub(crate) fn each_change() -> Result<()> {
    minimal()?;
    features(Sets::Pairs)?;
    deny(false)?;
    typos()?;
    api(false)
}

/// Both crates build from what would be uploaded, and from nothing else.
pub(crate) fn package() -> Result<()> {
    ensure_client_library()?;
    let mut package = cargo("package");
    package.args(["--package", DERIVE, "--package", LIBRARY, "--allow-dirty"]);
    step::run("cargo package", &mut package)
}

/// Sets of features that compile without a warning. Those of one kind count as one.
#[derive(Clone, Copy)]
pub(crate) enum Sets {
    All,
    /// A third of the time, and most of the mistakes.
    Pairs,
}

pub(crate) fn features(sets: Sets) -> Result<()> {
    ensure_client_library()?;
    let mut hack = tools::cargo(&Tool::HACK)?;
    hack.args(["hack", "clippy", "--package", LIBRARY, "--feature-powerset"])
        .args(["--group-features", "uuid,chrono,time"])
        // A client library from source, libclang, and tuples with which Diesel alone compiles for minutes.
        .args(["--exclude-features", "default,bundled,buildtime_bindgen"])
        .args([
            "--exclude-features",
            "32-column-tables,64-column-tables,128-column-tables",
        ]);
    let name = match sets {
        Sets::All => "every set of features",
        Sets::Pairs => {
            hack.args(["--depth", "2"]);
            "every pair of features"
        }
    };
    step::run(name, hack.args(["--", "-D", "warnings"]))
}

/// The library compiles with the oldest versions that it allows, from what would be uploaded. The
/// tests' own dependencies are left out: users do not compile them.
pub(crate) fn minimal() -> Result<()> {
    ensure_client_library()?;
    let mut package = cargo("package");
    package.args(["--package", DERIVE, "--package", LIBRARY, "--allow-dirty"]);
    // Without cargo's own build of the packages: the check below compiles the same files.
    step::run("pack both crates", package.arg("--no-verify"))?;
    let target = workspace().join("target");
    let minimal = target.join("minimal");
    let version = env!("CARGO_PKG_VERSION");
    let [library, derive] = [LIBRARY, DERIVE].map(|package| format!("{package}-{version}"));
    for package in [&library, &derive] {
        let archive = target.join(format!("package/{package}.crate"));
        let unpacked = unpack(&archive, &minimal, package)?;
        let manifest = unpacked.join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        // A workspace of its own, though it lies in ours.
        fs::write(
            &manifest,
            without_dev_dependencies(&text) + "\n[workspace]\n",
        )?;
        // Made anew, of the oldest.
        fs::remove_file(unpacked.join("Cargo.lock"))?;
    }
    let patch = format!("patch.crates-io.{DERIVE}.path='../{derive}'");
    let cargo = |verb: &str| {
        let mut command = Command::new("cargo");
        command
            .args([verb, "--config", &patch])
            // Dependencies of the same version and features are already built there.
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(minimal.join(&library));
        command
    };
    let mut oldest = cargo("generate-lockfile");
    // The flag is of nightly compilers; nothing is compiled with it.
    oldest
        .args(["-Z", "direct-minimal-versions"])
        .env("RUSTC_BOOTSTRAP", "1");
    step::run("the oldest versions allowed", &mut oldest)?;
    let mut check = cargo("check");
    check.args(["--features", "uuid,chrono,time,tracing,metrics"]);
    step::run("the library with them", &mut check)
}

/// Replaces the package's directory by the archive's content, and returns its path.
fn unpack(archive: &Path, directory: &Path, package: &str) -> Result<PathBuf> {
    let unpacked = directory.join(package);
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir_all(directory)?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(directory);
    let status = tar.status().context("cannot run tar")?;
    ensure!(status.success(), "cannot unpack {}", archive.display());
    Ok(unpacked)
}

fn without_dev_dependencies(manifest: &str) -> String {
    let mut is_dropped = false;
    let kept = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            is_dropped = line.starts_with("[dev-dependencies");
        }
        !is_dropped
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Licences, doubled and unknown packages; and advisories, whose list is fetched from elsewhere than the registry.
pub(crate) fn deny(advisories: bool) -> Result<()> {
    let mut deny = tools::cargo(&Tool::DENY)?;
    deny.args(["deny", "check", "bans", "licenses", "sources"]);
    if advisories {
        deny.arg("advisories");
    }
    step::run("cargo deny", &mut deny)
}

pub(crate) fn typos() -> Result<()> {
    let mut typos = tools::command(&Tool::TYPOS)?;
    step::run("typos", typos.current_dir(workspace()))
}

/// The public interface: as text in `docs/public-api.txt`, whose changes are read and not overlooked, and an example
/// for each item.
pub(crate) fn api(bless: bool) -> Result<()> {
    ensure_client_library()?;
    // For the whole workspace: its dependencies then have the same features as in `cargo xtask test`.
    let mut test = cargo_workspace("test");
    test.args(["--features", "xtask/public-api", "--test", "public_api"]);
    if bless {
        test.env("UPDATE_SNAPSHOTS", "yes");
    }
    step::run("the public interface", &mut test).inspect_err(|_| {
        eprintln!(
            "A change on purpose is said in CHANGELOG.md, and taken over by `cargo xtask api --bless`. A new item needs an example."
        );
    })
}

/// Whether a release of this would keep to semantic versioning. The baseline is the last release's tag.
pub(crate) fn semver() -> Result<()> {
    ensure_client_library()?;
    let tag = Command::new("git")
        .args(["describe", "--tags", "--abbrev=0", "--match", "v*"])
        .current_dir(workspace())
        .output()
        .context("cannot run git")?;
    if !tag.status.success() {
        eprintln!(
            "==> no release yet: nothing to compare with; the first one's tag will be the baseline"
        );
        return Ok(());
    }
    let tag = String::from_utf8(tag.stdout)?;
    let mut checks = tools::cargo(&Tool::SEMVER_CHECKS)?;
    checks.args([
        "semver-checks",
        "--package",
        LIBRARY,
        "--baseline-rev",
        tag.trim(),
    ]);
    step::run(
        &format!("semantic versioning since {}", tag.trim()),
        &mut checks,
    )
}
