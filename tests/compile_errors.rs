//! Compile errors that a user is likely to meet, as the compiler words them. After a change on purpose:
//! `TRYBUILD=overwrite cargo test --test compile_errors`, and read the difference.

#[test]
fn compile_errors_say_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
