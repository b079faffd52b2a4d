//! Compile errors that a user is likely to meet, as one version of the compiler words them. After a change on purpose:
//! `TRYBUILD=overwrite cargo test --package ui --test compile_errors`, and read the difference.

use std::fs;

#[test]
#[rustversion::attr(
    not(stable(1.95)),
    ignore = "the texts are those of Rust 1.95, and this is another"
)]
fn compile_errors_match_the_expected_output() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("*.rs");
    cases.compile_fail("macros/*.rs");
    // It compiles them here, and overwrites what is counted below.
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
            let text = fs::read_to_string(&path).expect("what the compiler says");
            let errors = text.lines().filter(|line| line.starts_with("error"));
            assert_eq!(errors.count(), 1, "{}:\n{text}", path.display());
            mistakes += 1;
        }
    }
    assert!(mistakes >= 20, "only {mistakes} mistakes are tried");
}
