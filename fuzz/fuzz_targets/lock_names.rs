//! What locks are called: `checks/src/names.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_checks::lock_names(data));
