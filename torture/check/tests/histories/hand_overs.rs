//! How often a lock went from thread to thread of a process.

use crate::story::{but, judge};

const HANDED: &str = "
    #1 w1.1 hold a on lock-pool: 0 invoke; 10 granted 5; 20 end; 30 ok
    #2 w1.2 hold a on lock-pool: 5 invoke; 25 granted 5; 40 end; 50 ok
    #3 w1.1 hold a on lock-pool: 35 invoke; 45 granted 5; 60 end; 70 ok
";

#[test]
fn hand_overs_are_counted() {
    assert_eq!(judge(HANDED).hand_overs(), 2);
    let summary = judge(HANDED).to_string();
    assert!(
        summary.contains("3 cycles, 2 hand-overs and 0 faults"),
        "{summary}"
    );
    for (from, to) in [
        // Asked for too late.
        ("5 invoke; 25 granted", "31 invoke; 35 granted"),
        // By another session.
        ("45 granted 5", "45 granted 6"),
        // Another name.
        ("#3 w1.1 hold a", "#3 w1.1 hold b"),
        ("#3 w1.1 hold a on lock-pool", "#3 w1.1 hold a on pool-from"),
    ] {
        assert_eq!(judge(&but(HANDED, from, to)).hand_overs(), 1, "{to}");
    }
    // One in between on the same session.
    let between = but(HANDED, "#2 w1.2 hold a", "#2 w1.2 hold b");
    assert_eq!(judge(&between).hand_overs(), 0);
    // Another process, with a session of the same number after a restart.
    let other = but(HANDED, "#2 w1.2", "#2 w2.2");
    assert_eq!(judge(&other).hand_overs(), 0);
    let several = HANDED.replace("hold a on", "all a+b on");
    assert_eq!(judge(&several).hand_overs(), 0);
    // A nested body is part of its outer one.
    let nested = but(
        HANDED,
        "#3 w1.1",
        "#4 w1.2 nested/inner a on lock-pool: 28 invoke; 30 granted 5; 32 end; 33 ok\n#3 w1.1",
    );
    assert_eq!(judge(&nested).hand_overs(), 2);
}
