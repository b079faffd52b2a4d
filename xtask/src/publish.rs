//! What has to be right before strangers get it: `release` is all of it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, workspace};
use crate::copy;
use crate::install::{self, Need};
use crate::step;
use crate::tools::{self, Tool};

const LIBRARY: &str = "diesel-advisory-lock";
const DERIVE: &str = "diesel-advisory-lock-derive";

/// Whoever builds the library needs it.
fn ensure_client_library() -> Result<()> {
    install::ensure(&[Need::ClientLibrary])
}

/// All of it, before a release.
pub(crate) fn release() -> Result<()> {
    minimal()?;
    features(Sets::All)?;
    deny(true)?;
    typos()?;
    api(false)?;
    semver()
}

/// For each change: what takes a minute, and what is there already. The tools take longer to build than the rest of the
/// checks take together.
pub(crate) fn at_hand() -> Result<()> {
    minimal()?;
    features(Sets::Pairs)?;
    type Check = fn() -> Result<()>;
    let checks: [(&Tool, Check); 3] = [
        (&Tool::DENY, || deny(false)),
        (&Tool::TYPOS, typos),
        (&Tool::PUBLIC_API, || api(false)),
    ];
    for (tool, check) in checks {
        if tool.is_there() {
            check()?;
        } else {
            eprintln!("==> left out: {tool} is not built; `cargo xtask release` builds it");
        }
    }
    Ok(())
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

/// The oldest versions that are allowed do, in what would be uploaded. The tests' own dependencies are left out: nobody
/// else compiles them.
pub(crate) fn minimal() -> Result<()> {
    package()?;
    let target = workspace().join("target");
    let version = env!("CARGO_PKG_VERSION");
    let [library, derive] = [LIBRARY, DERIVE].map(|package| format!("{package}-{version}"));
    for package in [&library, &derive] {
        let copied = target.join("minimal").join(package);
        copy::fresh(&target.join("package").join(package), &copied)?;
        let manifest = copied.join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        // A workspace of its own, though it lies in ours.
        fs::write(
            &manifest,
            without_dev_dependencies(&text) + "\n[workspace]\n",
        )?;
        // Made anew, of the oldest.
        fs::remove_file(copied.join("Cargo.lock"))?;
    }
    let patch = format!("patch.crates-io.{DERIVE}.path='../{derive}'");
    let cargo = |verb: &str| {
        let mut command = Command::new("cargo");
        command
            .args([verb, "--config", &patch])
            .env("CARGO_TARGET_DIR", target.join("minimal/target"))
            .current_dir(target.join("minimal").join(&library));
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

/// The public interface, as text in `docs/public-api.txt`: a change of it is read, not overlooked.
pub(crate) fn api(bless: bool) -> Result<()> {
    ensure_client_library()?;
    let mut list = tools::cargo(&Tool::PUBLIC_API)?;
    list.args(["public-api", "--package", LIBRARY, "-sss"])
        .args(["--features", "uuid,chrono,time,tracing,metrics"])
        .env("RUSTC_BOOTSTRAP", "1");
    let output = list.output().context("cannot run cargo public-api")?;
    if !output.status.success() {
        bail!(
            "cargo public-api failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let found = String::from_utf8(output.stdout)?;
    let path = workspace().join("docs/public-api.txt");
    if bless {
        return fs::write(&path, found).with_context(|| path.display().to_string());
    }
    let known = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    if known == found {
        eprintln!("==> the public interface is the one in {}", path.display());
        return Ok(());
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(&known), lines(&found));
    for line in before.iter().filter(|line| !after.contains(line)) {
        eprintln!("- {line}");
    }
    for line in after.iter().filter(|line| !before.contains(line)) {
        eprintln!("+ {line}");
    }
    bail!(
        "the public interface has changed: say so in CHANGELOG.md, then run `cargo xtask api --bless`"
    )
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
