//! The library as a dependency: which packages it brings along, and under another name.

use std::path::Path;
use std::process::{Command, Output};

fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{errors}");
    output
}

/// The packages that a user's build compiles with these features of the library.
fn compiled_with(features: &str) -> String {
    let output = run(cargo()
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--package", "diesel-advisory-lock", "--no-default-features"])
        .args(["--features", features]));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

#[test]
fn macros_are_compiled_only_with_their_feature() {
    let macros = "diesel-advisory-lock-derive ";
    assert!(compiled_with("mysql,r2d2,derive").contains(macros));
    assert!(!compiled_with("mysql,r2d2").contains(macros));
}

#[test]
fn tracing_and_metrics_are_compiled_only_with_their_features() {
    for (feature, package) in [("tracing", "tracing "), ("metrics", "metrics ")] {
        assert!(!compiled_with("mysql,r2d2,derive").contains(package));
        assert!(compiled_with(feature).contains(package));
    }
}

#[test]
fn crate_that_renames_the_library_can_use_its_macros() {
    check("renamed");
}

/// Compiles a crate of `tests/fixtures/`.
fn check(fixture: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture = root.join("tests/fixtures").join(fixture);
    // The workspace's versions, because others may not be available offline.
    std::fs::copy(root.join("Cargo.lock"), fixture.join("Cargo.lock")).expect("a lock file");
    // The workspace's directory, where most dependencies are already built.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("the target directory");
    run(cargo()
        .args(["check", "--offline", "--quiet"])
        .arg("--manifest-path")
        .arg(fixture.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target));
}
