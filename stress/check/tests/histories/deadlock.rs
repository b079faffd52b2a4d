//! (c) A call reports a deadlock only if it can have been part of one.

use stress_check::rules::Rule::Reported;

use crate::scenario::{accepted, add, edit, rejected};

/// Two calls that acquire `a` and `b` in opposite orders.
const CROSSED: &str = "
    #1 w1.1 crossing a: 0 invoke; 10 acquired 5; 90 end; 95 ok
    #2 w1.1 crossing/inner b: 20 invoke; 60 acquired 5; 70 end; 80 ok
    #3 w2.1 crossing b: 0 invoke; 10 acquired 6; 50 end; 55 ok
    #4 w2.1 crossing/inner a: 30 invoke; 40 deadlock
";

#[test]
fn a_deadlock_without_a_second_waiting_holder_is_rejected() {
    accepted(CROSSED);
    let alone = edit(
        CROSSED,
        "#2 w1.1 crossing/inner b",
        "#2 w1.1 crossing/inner c",
    );
    rejected(Reported, "no call waited for a lock that it held", &alone);
    // A call that waits and holds nothing closes no cycle.
    let chain = add(
        &alone,
        "#5 w3.1 hold b: 20 invoke; 60 acquired 7; 70 end; 80 ok",
    );
    rejected(Reported, "no call waited for a lock that it held", &chain);
    // The second wait began after the deadlock.
    let late = edit(
        CROSSED,
        "#2 w1.1 crossing/inner b: 20",
        "#2 w1.1 crossing/inner b: 41",
    );
    rejected(Reported, "no call waited for a lock that it held", &late);
    // The server may not have noticed yet that the other process was killed.
    let killed = edit(CROSSED, "; 60 acquired 5; 70 end; 80 ok", "");
    let killed = edit(&killed, "; 90 end; 95 ok", "");
    let killed = add(&killed, "run: 25 worker 1 killed");
    accepted(&killed);
    let long_ago = edit(
        &killed,
        "30 invoke; 40 deadlock",
        "1030 invoke; 1040 deadlock",
    );
    let long_ago = edit(&long_ago, "50 end; 55 ok", "1050 end; 1055 ok");
    rejected(
        Reported,
        "no call waited for a lock that it held",
        &long_ago,
    );
}

#[test]
fn bystander_of_a_deadlock_is_accepted_on_postgres_alone() {
    let bystander = add(CROSSED, "#5 w3.1 hold a: 20 invoke; 40 deadlock");
    rejected(Reported, "held no other lock", &bystander);
    let postgres = add(&bystander, "run: 0 run server postgres 15.18");
    accepted(&postgres);
    let elsewhere = edit(&postgres, "hold a", "hold c");
    rejected(Reported, "held no other lock", &elsewhere);
}

#[test]
fn a_deadlock_of_a_call_without_another_lock_is_rejected() {
    let scenario = add(CROSSED, "#5 w3.1 hold a: 20 invoke; 40 timeout");
    let scenario = edit(&scenario, "hold a:", "hold a wait 20:");
    accepted(&scenario);
    let scenario = edit(&scenario, "timeout", "deadlock");
    rejected(
        Reported,
        "call 5 of worker 3, thread 1 (hold) returned `deadlock`, but held no other lock",
        &scenario,
    );
}

#[test]
fn a_deadlock_of_a_re_entrant_call_is_rejected() {
    let scenario = add(
        CROSSED,
        "#5 w3.1 nested a: 96 invoke; 97 acquired 7; 120 end; 130 failed",
    );
    let scenario = add(
        &scenario,
        "#6 w3.1 nested/inner a: 100 invoke; 110 interrupted",
    );
    let scenario = add(&scenario, "fault storm session=7: 105");
    accepted(&scenario);
    let scenario = edit(&scenario, "interrupted", "deadlock");
    rejected(Reported, "held no other lock", &scenario);
}

#[test]
fn a_deadlock_of_a_re_entrant_call_two_levels_deep_is_rejected() {
    let scenario = add(
        CROSSED,
        "#5 w3.1 crossing a: 96 invoke; 97 acquired 7; 150 end; 155 failed
         #6 w3.1 crossing/inner b: 100 invoke; 101 acquired 7; 140 end; 145 failed
         #7 w3.1 crossing/inner a: 110 invoke; 120 interrupted
         fault storm session=7: 115",
    );
    accepted(&scenario);
    let scenario = edit(&scenario, "interrupted", "deadlock");
    rejected(
        Reported,
        "call 7 of worker 3, thread 1 (crossing/inner) returned `deadlock`, but held no other lock",
        &scenario,
    );
}

const TOGETHER: &str = "
    #1 w1.1 all a+b: 0 invoke; 40 deadlock
    #2 w2.1 all b+c: 0 invoke; 60 acquired 6; 70 end; 80 ok
";

#[test]
fn a_deadlock_among_sets_alone_is_rejected() {
    accepted(&edit(
        TOGETHER,
        "40 deadlock",
        "40 acquired 5; 50 end; 60 ok",
    ));
    rejected(
        Reported,
        "all calls acquired their locks in one order",
        TOGETHER,
    );
    // A nested call acquires the same locks in another order.
    let crossing = "
        #3 w3.1 crossing b: 0 invoke; 10 acquired 7; 50 end; 55 ok
        #4 w3.1 crossing/inner a: 20 invoke; 42 acquired 7; 44 end; 46 ok
    ";
    let crossed = add(TOGETHER, crossing);
    accepted(&crossed);
    // A nested call for other locks explains nothing.
    let elsewhere = edit(&crossed, "crossing b", "crossing y");
    let elsewhere = edit(&elsewhere, "crossing/inner a", "crossing/inner z");
    rejected(
        Reported,
        "all calls acquired their locks in one order",
        &elsewhere,
    );
    let later = edit(&crossed, "20 invoke; 42 acquired", "41 invoke; 42 acquired");
    rejected(
        Reported,
        "all calls acquired their locks in one order",
        &later,
    );
    // Nor does one that acquires its own lock again.
    let again = edit(&crossed, "crossing/inner a", "crossing/inner b");
    rejected(
        Reported,
        "all calls acquired their locks in one order",
        &again,
    );
    let alone = edit(TOGETHER, "b+c", "c+d");
    rejected(Reported, "no call waited for a lock that it held", &alone);
}
