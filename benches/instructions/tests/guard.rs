//! The client's cost in instructions, which does not depend on the load of the machine. Explain a
//! change of these numbers in `docs/benchmarks.md`.

use instructions::{Counter, Part, valgrind_is_installed};
use test_server::{Server, ServerKind};

/// Allows for differences between compilers and C libraries.
const TOLERANCE: f64 = 1.10;

/// Returns `None` without valgrind if the tests use the server of DATABASE_URL. Otherwise
/// `cargo xtask test` has installed valgrind.
fn counter() -> Option<Counter> {
    if test_server::kinds_under_test().is_empty() && !valgrind_is_installed() {
        eprintln!("SKIPPED: counting instructions needs valgrind");
        return None;
    }
    Some(Counter::build().expect("the program builds"))
}

#[track_caller]
fn assert_takes(counter: &Counter, work: &[&str], stated: u64) {
    let counted = counter.per_run(work).expect("valgrind counts");
    println!("{work:?}: {counted}, limit {stated} x {TOLERANCE}");
    assert!(
        counted as f64 <= stated as f64 * TOLERANCE,
        "{work:?} takes {counted} instructions instead of {stated}"
    );
}

#[test]
fn names_stay_within_the_stated_instructions() {
    let Some(counter) = counter() else { return };
    for (part, stated) in [
        (Part::Name, 1_059),
        (Part::TwoKeys, 1_191),
        (Part::Hashed, 6_350),
        (Part::Scope, 813),
        (Part::FullName, 4_114),
    ] {
        assert_takes(&counter, &["part", &part.to_string()], stated);
    }
}

#[test]
fn run_on_a_name_stays_within_the_stated_instructions() {
    let Some(counter) = counter() else { return };
    for kind in test_server::mysql_kinds_under_test() {
        let url = Server::shared(kind).url("");
        // MySQL sends the metadata of the result with each execution, MariaDB only once.
        let stated = match kind {
            ServerKind::Mariadb => 23_502,
            _ => 27_360,
        };
        assert_takes(&counter, &["run", &url], stated);
    }
}

#[cfg(feature = "postgres")]
#[test]
fn calls_on_postgresql_stay_within_the_stated_instructions() {
    let Some(counter) = counter() else { return };
    let kinds = test_server::kinds_under_test().into_iter();
    for kind in kinds.filter(|kind| kind.is_postgres()) {
        let url = Server::shared(kind).url("postgres");
        for (work, stated) in [("run", 27_395), ("transaction-row", 50_937)] {
            assert_takes(&counter, &["postgres", work, &url], stated);
        }
    }
}
