//! The number of handoffs in a report.

use stress_check::report::Handoffs;

use crate::scenario::{check, edit};

const HANDED_OFF: &str = "
    #1 w1.1 name.run a on lock-pool: 0 invoke; 10 acquired 5; 20 end; 30 ok
    #2 w1.2 name.run a on lock-pool: 5 invoke; 25 acquired 5; 40 end; 50 ok
    #3 w1.1 name.run a on lock-pool: 35 invoke; 45 acquired 5; 60 end; 70 ok
";

fn count(all: usize, of_sets: usize) -> Handoffs {
    Handoffs { all, of_sets }
}

#[test]
fn handoffs_of_one_lock_are_counted() {
    assert_eq!(check(HANDED_OFF).handoffs(), count(2, 0));
    let summary = check(HANDED_OFF).to_string();
    assert!(
        summary.contains("3 cycles, 2 handoffs (0 of sets) and 0 faults"),
        "{summary}"
    );
    for (from, to) in [
        // Requested after the call before had returned.
        ("5 invoke; 25 acquired", "31 invoke; 35 acquired"),
        // Another session.
        ("45 acquired 5", "45 acquired 6"),
        // Another name.
        ("#3 w1.1 name.run a", "#3 w1.1 name.run b"),
        // The caller's own connection.
        (
            "#3 w1.1 name.run a on lock-pool",
            "#3 w1.1 name.run a on pooled",
        ),
    ] {
        assert_eq!(check(&edit(HANDED_OFF, from, to)).handoffs().all, 1, "{to}");
    }
    // A call for another name comes in between.
    let between = edit(HANDED_OFF, "#2 w1.2 name.run a", "#2 w1.2 name.run b");
    assert_eq!(check(&between).handoffs().all, 0);
    // Another process, whose session has the same number after a restart of the server.
    let other = edit(HANDED_OFF, "#2 w1.2", "#2 w2.2");
    assert_eq!(check(&other).handoffs().all, 0);
    // A nested call is no handoff.
    let nested = edit(
        HANDED_OFF,
        "#3 w1.1",
        "#4 w1.2 nested/inner a on lock-pool: 28 invoke; 30 acquired 5; 32 end; 33 ok\n#3 w1.1",
    );
    assert_eq!(check(&nested).handoffs().all, 2);
}

#[test]
fn handoffs_of_a_set_are_counted_in_any_order_of_its_names() {
    let sets = HANDED_OFF.replace("name.run a on", "lock_all a+b on");
    assert_eq!(check(&sets).handoffs(), count(2, 2));
    let in_another_order = edit(&sets, "#2 w1.2 lock_all a+b", "#2 w1.2 lock_all b+a");
    assert_eq!(check(&in_another_order).handoffs(), count(2, 2));
    for overlapping in ["a+c", "a+b+c", "a"] {
        let to = format!("#3 w1.1 lock_all {overlapping}");
        let overlaps = edit(&sets, "#3 w1.1 lock_all a+b", &to);
        assert_eq!(check(&overlaps).handoffs(), count(1, 1), "{overlapping}");
    }
}
