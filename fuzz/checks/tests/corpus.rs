//! Everything that the fuzzer kept, through the same checks: a finding that was fixed stays fixed.

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus") {
        let path = entry.expect("an entry").path();
        // The name of the last one is what a failure shows.
        println!("{}", path.display());
        check(&fs::read(&path).expect("a file"));
        count += 1;
    }
    assert!(count >= 20, "only {count} files in {}", corpus.display());
}

#[test]
fn lock_names() {
    replay("lock_names", fuzz_checks::lock_names);
}

#[test]
fn attributes() {
    replay("attributes", fuzz_checks::attributes);
}
