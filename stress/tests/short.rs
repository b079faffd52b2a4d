//! A short run of the stress test on every server under test, with a fixed seed.

use std::path::Path;
use std::process::Command;
use std::thread;

use stress_check::history::FaultKind;
use stress_check::{Report, Run};
use test_server::{ServerKind, kinds_under_test};

const SECONDS: &str = "45";

#[test]
fn short_stress_run_breaks_no_rule() {
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

fn stress(kind: ServerKind) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stress-{kind}"));
    let output = Command::new(program(kind))
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
    assert!(report.cycles() >= 2_000, "{kind}: too few cycles");
    assert!(report.faults() >= 60, "{kind}: too few faults");
    let missing: Vec<_> = FaultKind::ALL
        .iter()
        .filter(|kind| kind.is_counted())
        .filter(|&&kind| {
            let mut faults = report.run().faults.iter();
            !faults.any(|fault| fault.kind == kind && fault.hit)
        })
        .collect();
    assert!(missing.len() <= 2, "{kind}: never caused: {missing:?}");
}
