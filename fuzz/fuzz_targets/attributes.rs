//! What the macros make of what is written: `checks/src/attributes.rs`.
#![no_main]

// proc-macro2 forgets places under it, and whether an error has one could not be told.
#[cfg(fuzzing)]
compile_error!("build with `cargo fuzz run --no-cfg-fuzzing`");

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::attributes(data));
