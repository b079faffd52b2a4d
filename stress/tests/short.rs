//! A short run of the stress test on every server under test, with a fixed seed.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use stress_check::history::{FaultKind, Outcome};
use stress_check::{Report, Run};
use test_server::{ServerKind, kinds_under_test};

const SECONDS: &str = "45";

#[test]
fn short_stress_run_breaks_no_rule() {
    on_each_server(|kind| stress(kind, false));
}

#[cfg(feature = "async")]
#[test]
fn short_asynchronous_stress_run_breaks_no_rule() {
    on_each_server(|kind| stress(kind, true));
}

fn on_each_server(stress: fn(ServerKind)) {
    // One test at a time.
    static RUN: Mutex<()> = Mutex::new(());
    let _run = RUN.lock().unwrap_or_else(PoisonError::into_inner);
    // Two at a time, so that each runs enough cycles on a small machine.
    for kinds in kinds_under_test().chunks(2) {
        thread::scope(|scope| {
            for &kind in kinds {
                scope.spawn(move || stress(kind));
            }
        });
    }
}

/// The program for PostgreSQL, which the feature `postgres` builds.
const FOR_POSTGRES: Option<&str> = option_env!("CARGO_BIN_EXE_stress-postgres");

fn program(kind: ServerKind) -> &'static str {
    match (kind.is_postgres(), FOR_POSTGRES) {
        (false, _) => env!("CARGO_BIN_EXE_stress"),
        (true, Some(program)) => program,
        (true, None) => panic!("{kind}: the tests were built without the feature `postgres`"),
    }
}

fn stress(kind: ServerKind, is_async: bool) {
    let suffix = if is_async { "-async" } else { "" };
    let directory = format!("stress-{kind}{suffix}");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
    let output = Command::new(program(kind))
        .args(is_async.then_some("--async"))
        .args(["--server", &kind.to_string(), "--seconds", SECONDS])
        .args(["--seed", "1", "--directory"])
        .arg(&directory)
        .output()
        .expect("the stress test to run");
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{report}");
    assert!(
        output.status.success(),
        "{kind}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );

    // A run in which nothing happened would break no rule either.
    let report = Report::of(Run::read(&directory).expect("a history"));
    // The connection of a call that was cut is opened again, which takes most of the time.
    let (cycles, cuts, faults) = match is_async {
        true => (100, 50, 40),
        false => (2_000, 0, 60),
    };
    assert!(report.cycles() >= cycles, "{kind}: too few cycles");
    let cut = report.run().ops.iter().filter(|op| op.is(Outcome::Cut));
    assert!(cut.count() >= cuts, "{kind}: too few futures were dropped");
    assert!(report.faults() >= faults, "{kind}: too few faults");
    let missing: Vec<_> = FaultKind::ALL
        .iter()
        .filter(|kind| kind.is_counted())
        .filter(|&&kind| {
            let mut faults = report.run().faults.iter();
            !faults.any(|fault| fault.kind == kind && fault.hit)
        })
        .collect();
    // A slow machine causes fewer.
    let may_be_missing = if is_async { 4 } else { 2 };
    assert!(
        missing.len() <= may_be_missing,
        "{kind}: never caused: {missing:?}"
    );
}
