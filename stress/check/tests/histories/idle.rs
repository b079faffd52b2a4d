//! (d) No call waits for a lock that no call holds.

use stress_check::rules::Rule::Prompt;

use crate::scenario::{accepted, add, edit, rejected};

/// After the first call returned, the second waits for a free lock as long as the rule allows.
const WAITS: &str = "
    #1 w1.1 hold a: 0 invoke; 10 acquired 5; 990 end; 1000 ok
    #2 w2.1 hold a wait 9000: 500 invoke; 6000 acquired 6; 6010 end; 6020 ok
";

/// The second call waits a millisecond longer.
fn leaked() -> String {
    edit(WAITS, "6000 acquired", "6001 acquired")
}

const MESSAGE: &str = "waited for `a`, which no call held for 5.001 s";

#[test]
fn a_long_wait_for_a_free_lock_is_rejected() {
    accepted(WAITS);
    rejected(Prompt, MESSAGE, &leaked());
    // A lock is occupied until the call returns, not only until its body ends.
    accepted(&edit(&leaked(), "1000 ok", "1001 ok"));
    // It does not matter how the wait ends.
    let timed_out = edit(
        &leaked(),
        "6001 acquired 6; 6010 end; 6020 ok",
        "9500 timeout",
    );
    rejected(Prompt, "which no call held for 8.500 s", &timed_out);
    let killed = edit(&leaked(), "; 6001 acquired 6; 6010 end; 6020 ok", "");
    rejected(Prompt, MESSAGE, &add(&killed, "run: 6001 worker 2 killed"));
    accepted(&add(&killed, "run: 6000 worker 2 killed"));
}

#[test]
fn a_wait_during_another_hold_is_accepted() {
    let other = add(
        &leaked(),
        "#3 w1.2 hold a: 5 invoke; 1100 acquired 5; 1110 end; 1120 ok",
    );
    accepted(&other);
    // The other call held another lock.
    rejected(
        Prompt,
        MESSAGE,
        &edit(&other, "#3 w1.2 hold a", "#3 w1.2 hold b"),
    );
    // The other call did not acquire it.
    let refused = edit(&other, "1100 acquired 5; 1110 end; 1120 ok", "1120 timeout");
    rejected(Prompt, MESSAGE, &refused);
    // Two stretches of four seconds are not one of eight.
    let twice = edit(
        &other,
        "1100 acquired 5; 1110 end; 1120 ok",
        "4900 acquired 5; 4910 end; 4920 ok",
    );
    let twice = edit(&twice, "#3 w1.2 hold a", "#3 w1.2 hold a wait 9000");
    let twice = edit(&twice, "6001 acquired 6; 6010 end; 6020 ok", "9500 timeout");
    accepted(&twice);
}

#[test]
fn a_short_fault_inside_a_long_hold_changes_nothing() {
    let long = edit(WAITS, "990 end; 1000 ok", "6990 end; 7000 ok");
    let long = edit(
        &long,
        "6000 acquired 6; 6010 end; 6020 ok",
        "7010 acquired 6; 7020 end; 7030 ok",
    );
    accepted(&long);
    accepted(&add(&long, "fault worker-kill worker=7: 600"));
}

#[test]
fn a_killed_process_occupies_its_lock_until_its_recorded_end() {
    let killed = edit(&leaked(), "; 990 end; 1000 ok", "");
    accepted(&add(&killed, "run: 1001 worker 1 killed"));
    rejected(Prompt, MESSAGE, &add(&killed, "run: 1000 worker 1 killed"));
}

#[test]
fn a_waiting_set_occupies_its_locks_while_one_of_them_is_held() {
    // The third call may have held `a` and waited for `b`, which the fourth call held.
    let several = add(
        &leaked(),
        "#3 w1.2 all a+b wait 9000: 1100 invoke; 10098 timeout",
    );
    let held = add(
        &several,
        "#4 w1.3 hold b: 1000 invoke; 1100 acquired 8; 9990 end; 10000 ok",
    );
    accepted(&held);
    // No call held either.
    let free = edit(&held, "#4 w1.3 hold b", "#4 w1.3 hold c");
    rejected(Prompt, MESSAGE, &free);
    // A fifth call may have held `b` and waited for `c`, which the fourth call held.
    accepted(&add(
        &free,
        "#5 w1.4 all b+c wait 9000: 1100 invoke; 10098 timeout",
    ));
    rejected(Prompt, MESSAGE, &edit(&held, "all a+b", "all b+c"));
    rejected(Prompt, MESSAGE, &edit(&held, "all a+b", "all a"));
    // The waiting set itself does not count.
    let alone = "
        #1 w1.1 all a+b: 0 invoke; 10 acquired 5; 990 end; 1000 ok
        #2 w2.1 all b+c wait 9000: 500 invoke; 6000 acquired 6; 6010 end; 6020 ok
    ";
    accepted(alone);
    let alone = edit(alone, "6000 acquired", "6001 acquired");
    rejected(
        Prompt,
        "waited for `b+c`, which no call held for 5.001 s",
        &alone,
    );
    // It is enough that one of its locks is held.
    accepted(&add(
        &alone,
        "#3 w3.1 hold c: 1990 invoke; 2000 acquired 7; 2010 end; 2020 ok",
    ));
}

#[test]
fn a_nested_call_for_another_lock_occupies_it_from_its_invocation() {
    let inner = add(
        &leaked(),
        "#3 w1.2 crossing b wait 9000: 1050 invoke; 1060 acquired 8; 6500 end; 6510 ok",
    );
    let inner = add(
        &inner,
        "#4 w1.2 crossing/inner a: 1100 invoke; 2100 timeout",
    );
    accepted(&inner);
    rejected(
        Prompt,
        MESSAGE,
        &edit(&inner, "crossing/inner a", "crossing/inner c"),
    );
    // A re-entrant call occupies no other lock.
    let own = edit(&inner, "crossing/inner a", "nested/inner b");
    rejected(Prompt, MESSAGE, &own);
}

#[test]
fn a_call_without_a_connection_occupies_its_lock_for_a_second() {
    let none = add(
        &leaked(),
        "#3 w2.2 hold a on undersized-lock-pool-direct: 700 invoke; 1200 pool",
    );
    accepted(&none);
    // It occupied the lock at its end, not since its invocation.
    let long_ago = edit(&none, "700 invoke; 1200 pool", "400 invoke; 1000 pool");
    rejected(Prompt, MESSAGE, &long_ago);
}

#[test]
fn a_wait_during_an_outage_is_accepted() {
    // An outage may affect calls for a second after its end.
    let scenario = edit(
        &leaked(),
        "6001 acquired 6; 6010 end; 6020 ok",
        "8200 acquired 6; 8210 end; 8220 ok",
    );
    rejected(Prompt, "which no call held for 7.200 s", &scenario);
    for fault in [
        "stall",
        "delay",
        "server-pause",
        "server-start",
        "server-kill",
        "worker-stop worker=7",
        "worker-kill worker=7",
        "kill-holder session=9",
        "kill-waiter session=9",
        "cut-one",
        "cut-all",
        "wait-timeout",
    ] {
        let felt = add(&scenario, &format!("fault {fault}: 2000..2200"));
        accepted(&felt);
        let less = edit(&felt, "2000..2200", "2000..2199");
        rejected(Prompt, "which no call held for 5.001 s", &less);
    }
    for fault in ["interrupt-holder session=9", "storm session=9"] {
        let felt = add(&scenario, &format!("fault {fault}: 2000..2200"));
        rejected(Prompt, "which no call held for 7.200 s", &felt);
    }
}

#[test]
fn a_lock_that_a_cut_leaves_behind_is_rejected() {
    // The future of the first call was dropped in its body, or before.
    let cut = edit(WAITS, "1000 ok", "1000 cut");
    accepted(&cut);
    let leaked = edit(&cut, "6000 acquired", "6001 acquired");
    rejected(Prompt, MESSAGE, &leaked);
    let waiting = edit(&leaked, "10 acquired 5; 990 end; ", "");
    rejected(Prompt, "which no call held for 5.501 s", &waiting);
}
