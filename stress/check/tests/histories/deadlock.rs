//! (c) Nobody is told of a deadlock who cannot have been part of one.

use stress_check::rules::Rule::Reported;

use crate::story::{accepted, and, but, rejected};

/// Two that take `a` and `b` in either order.
const CROSSED: &str = "
    #1 w1.1 crossing a: 0 invoke; 10 granted 5; 90 end; 95 ok
    #2 w1.1 crossing/inner b: 20 invoke; 60 granted 5; 70 end; 80 ok
    #3 w2.1 crossing b: 0 invoke; 10 granted 6; 50 end; 55 ok
    #4 w2.1 crossing/inner a: 30 invoke; 40 deadlock
";

#[test]
fn a_circle_takes_two_that_hold_and_wait() {
    accepted(CROSSED);
    let alone = but(
        CROSSED,
        "#2 w1.1 crossing/inner b",
        "#2 w1.1 crossing/inner c",
    );
    rejected(Reported, "nobody waited for what it held", &alone);
    // Who only waits is the end of a chain.
    let chain = and(
        &alone,
        "#5 w3.1 hold b: 20 invoke; 60 granted 7; 70 end; 80 ok",
    );
    rejected(Reported, "nobody waited for what it held", &chain);
    // Long before.
    let before = but(
        CROSSED,
        "#2 w1.1 crossing/inner b: 20",
        "#2 w1.1 crossing/inner b: 41",
    );
    rejected(Reported, "nobody waited for what it held", &before);
    // Its process was killed, and the server has not seen it.
    let killed = but(CROSSED, "; 60 granted 5; 70 end; 80 ok", "");
    let killed = but(&killed, "; 90 end; 95 ok", "");
    let killed = and(&killed, "run: 25 worker 1 killed");
    accepted(&killed);
    let long_ago = but(
        &killed,
        "30 invoke; 40 deadlock",
        "1030 invoke; 1040 deadlock",
    );
    let long_ago = but(&long_ago, "50 end; 55 ok", "1050 end; 1055 ok");
    rejected(Reported, "nobody waited for what it held", &long_ago);
}

#[test]
fn who_holds_no_other_lock_is_in_no_circle() {
    let story = and(CROSSED, "#5 w3.1 hold a: 20 invoke; 40 timeout");
    let story = but(&story, "hold a:", "hold a wait 20:");
    accepted(&story);
    let story = but(&story, "timeout", "deadlock");
    rejected(
        Reported,
        "operation 5 of worker 3, thread 1 (hold) ended with `deadlock`, and held no other lock",
        &story,
    );
}

#[test]
fn a_lock_inside_of_itself_is_there_at_once() {
    let story = and(
        CROSSED,
        "#5 w3.1 nested a: 96 invoke; 97 granted 7; 120 end; 130 failed",
    );
    let story = and(
        &story,
        "#6 w3.1 nested/inner a: 100 invoke; 110 interrupted",
    );
    let story = and(&story, "fault storm session=7: 105");
    accepted(&story);
    let story = but(&story, "interrupted", "deadlock");
    rejected(Reported, "held no other lock", &story);
}

#[test]
fn a_lock_around_the_outer_one_is_held_too() {
    let story = and(
        CROSSED,
        "#5 w3.1 crossing a: 96 invoke; 97 granted 7; 150 end; 155 failed
         #6 w3.1 crossing/inner b: 100 invoke; 101 granted 7; 140 end; 145 failed
         #7 w3.1 crossing/inner a: 110 invoke; 120 interrupted
         fault storm session=7: 115",
    );
    accepted(&story);
    let story = but(&story, "interrupted", "deadlock");
    rejected(
        Reported,
        "operation 7 of worker 3, thread 1 (crossing/inner) ended with `deadlock`, and held no other lock",
        &story,
    );
}

const TOGETHER: &str = "
    #1 w1.1 all a+b: 0 invoke; 40 deadlock
    #2 w2.1 all b+c: 0 invoke; 60 granted 6; 70 end; 80 ok
";

#[test]
fn several_at_once_are_taken_in_one_order() {
    accepted(&but(TOGETHER, "40 deadlock", "40 granted 5; 50 end; 60 ok"));
    rejected(Reported, "everybody took his locks in one order", TOGETHER);
    // But somebody else may not be so orderly.
    let crossing = "
        #3 w3.1 crossing b: 0 invoke; 10 granted 7; 50 end; 55 ok
        #4 w3.1 crossing/inner a: 20 invoke; 42 granted 7; 44 end; 46 ok
    ";
    let crossed = and(TOGETHER, crossing);
    accepted(&crossed);
    // With other locks than these he is in nobody's way.
    let elsewhere = but(&crossed, "crossing b", "crossing y");
    let elsewhere = but(&elsewhere, "crossing/inner a", "crossing/inner z");
    rejected(
        Reported,
        "everybody took his locks in one order",
        &elsewhere,
    );
    let later = but(&crossed, "20 invoke; 42 granted", "41 invoke; 42 granted");
    rejected(Reported, "everybody took his locks in one order", &later);
    // Nor is one that takes the same lock again.
    let again = but(&crossed, "crossing/inner a", "crossing/inner b");
    rejected(Reported, "everybody took his locks in one order", &again);
    let alone = but(TOGETHER, "b+c", "c+d");
    rejected(Reported, "nobody waited for what it held", &alone);
}
