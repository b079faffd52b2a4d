//! Compile errors that users are likely to meet, in the words of one version of the compiler.
//!
//! After an intended change, run `TRYBUILD=overwrite cargo test --package ui --test compile_errors`
//! and review the difference.

use std::fs;

#[test]
#[rustversion::attr(
    not(stable(1.95)),
    ignore = "the expected errors are those of Rust 1.95"
)]
fn compile_errors_match_the_expected_output() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("*.rs");
    cases.compile_fail("macros/*.rs");
    cases.compile_fail("async/*.rs");
    // The drop compiles the cases, and may overwrite the files that are counted below.
    drop(cases);
    each_mistake_with_a_macro_is_one_error();
}

fn each_mistake_with_a_macro_is_one_error() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/macros");
    let mut mistakes = 0;
    for entry in fs::read_dir(directory).expect("the mistakes") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "stderr")
        {
            let text = fs::read_to_string(&path).expect("the expected errors");
            let errors = text.lines().filter(|line| line.starts_with("error"));
            assert_eq!(errors.count(), 1, "{}:\n{text}", path.display());
            mistakes += 1;
        }
    }
    assert!(mistakes >= 20, "only {mistakes} mistakes are tested");
}
