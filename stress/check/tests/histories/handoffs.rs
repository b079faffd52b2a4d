//! How often locks went from thread to thread of a process.

use stress_check::verdict::Handoffs;

use crate::story::{but, judge};

const HANDED_OFF: &str = "
    #1 w1.1 name.run a on lock-pool: 0 invoke; 10 granted 5; 20 end; 30 ok
    #2 w1.2 name.run a on lock-pool: 5 invoke; 25 granted 5; 40 end; 50 ok
    #3 w1.1 name.run a on lock-pool: 35 invoke; 45 granted 5; 60 end; 70 ok
";

fn count(all: usize, of_sets: usize) -> Handoffs {
    Handoffs { all, of_sets }
}

#[test]
fn handoffs_are_counted() {
    assert_eq!(judge(HANDED_OFF).handoffs(), count(2, 0));
    let summary = judge(HANDED_OFF).to_string();
    assert!(
        summary.contains("3 cycles, 2 handoffs (0 of sets) and 0 faults"),
        "{summary}"
    );
    for (from, to) in [
        // Requested after the earlier one was over.
        ("5 invoke; 25 granted", "31 invoke; 35 granted"),
        // On another session.
        ("45 granted 5", "45 granted 6"),
        // Another name.
        ("#3 w1.1 name.run a", "#3 w1.1 name.run b"),
        // A connection of the caller's.
        (
            "#3 w1.1 name.run a on lock-pool",
            "#3 w1.1 name.run a on pooled",
        ),
    ] {
        assert_eq!(judge(&but(HANDED_OFF, from, to)).handoffs().all, 1, "{to}");
    }
    // One in between on the same session.
    let between = but(HANDED_OFF, "#2 w1.2 name.run a", "#2 w1.2 name.run b");
    assert_eq!(judge(&between).handoffs().all, 0);
    // Another process, with a session of the same number after a restart.
    let other = but(HANDED_OFF, "#2 w1.2", "#2 w2.2");
    assert_eq!(judge(&other).handoffs().all, 0);
    // A nested body is part of its outer one.
    let nested = but(
        HANDED_OFF,
        "#3 w1.1",
        "#4 w1.2 nested/inner a on lock-pool: 28 invoke; 30 granted 5; 32 end; 33 ok\n#3 w1.1",
    );
    assert_eq!(judge(&nested).handoffs().all, 2);
}

#[test]
fn handoffs_of_equal_sets_are_counted_in_any_order() {
    let sets = HANDED_OFF.replace("name.run a on", "lock_all a+b on");
    assert_eq!(judge(&sets).handoffs(), count(2, 2));
    let in_another_order = but(&sets, "#2 w1.2 lock_all a+b", "#2 w1.2 lock_all b+a");
    assert_eq!(judge(&in_another_order).handoffs(), count(2, 2));
    for overlapping in ["a+c", "a+b+c", "a"] {
        let to = format!("#3 w1.1 lock_all {overlapping}");
        let overlaps = but(&sets, "#3 w1.1 lock_all a+b", &to);
        assert_eq!(judge(&overlaps).handoffs(), count(1, 1), "{overlapping}");
    }
}
