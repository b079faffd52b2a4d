//! Runs the checks of the fuzz target on pseudo-random inputs, without a fuzzer.

#[test]
fn generated_lock_names_pass_all_checks() {
    let mut state = 0;
    for number in 0..4_000 {
        // The last number printed is that of the input that failed.
        println!("input {number}");
        let input: Vec<u8> = (0..300).map(|_| next_byte(&mut state)).collect();
        fuzz_checks::check_lock_names(&input);
    }
}

/// A step of SplitMix64, so that every run has the same inputs.
fn next_byte(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 56) as u8
}
