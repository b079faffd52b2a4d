//! What the library costs on the client's side, in instructions, which neither a slow machine nor a busy one changes.
//! A number that is exceeded is a change to be explained, in `docs/benchmarks.md` and here.

use instructions::{Counter, Part, valgrind_is_installed};
use test_server::{Server, ServerKind};

/// Compilers and C libraries differ a little.
const TOLERANCE: f64 = 1.10;

/// `None` for those who have a server of their own
/// and no valgrind; `cargo xtask test` installs it for all others.
fn counter() -> Option<Counter> {
    if test_server::kinds_under_test().is_empty() && !valgrind_is_installed() {
        eprintln!("SKIPPED: no instructions are counted without valgrind");
        return None;
    }
    Some(Counter::build().expect("a program to count"))
}

#[track_caller]
fn assert_takes(counter: &Counter, work: &[&str], stated: u64) {
    let counted = counter.per_run(work).expect("a count; valgrind is needed");
    println!("{work:?}: {counted}, stated {stated}");
    assert!(
        counted as f64 <= stated as f64 * TOLERANCE,
        "{work:?} takes {counted} instructions, and {stated} are stated"
    );
}

#[test]
fn names_take_as_many_instructions_as_stated() {
    let Some(counter) = counter() else { return };
    for (part, stated) in [
        (Part::Name, 1_059),
        (Part::TwoKeys, 1_191),
        (Part::Hashed, 6_350),
        (Part::Scope, 813),
        (Part::Written, 4_114),
    ] {
        assert_takes(&counter, &["part", &part.to_string()], stated);
    }
}

/// Two statements through Diesel and the C client.
#[test]
fn a_lock_takes_as_many_instructions_as_stated() {
    let Some(counter) = counter() else { return };
    for kind in test_server::kinds_under_test() {
        let url = Server::shared(kind).url("");
        // MySQL describes the result's columns each time, MariaDB only once.
        let stated = match kind {
            ServerKind::Mariadb => 23_502,
            ServerKind::Mysql => 27_360,
        };
        assert_takes(&counter, &["hold", &url], stated);
    }
}
