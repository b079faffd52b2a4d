//! (e)

use stress_check::rules::Rule::NothingLeft;

use crate::story::{accepted, and, but, rejected};

const ONE: &str = "
    #1 w1.1 hold a on pooled: 0 invoke; 10 granted 5; 20 end; 30 ok
";

#[test]
fn somebody_has_looked() {
    accepted(ONE);
    let broken_off = and(ONE, "run: 40 broken off");
    rejected(
        NothingLeft,
        "the coordinator did not come to its end",
        &broken_off,
    );
    // That is enough: nobody has waited for the workers then.
    let lives = and(&broken_off, "run: 40 worker 1 lives");
    rejected(
        NothingLeft,
        "the coordinator did not come to its end",
        &lives,
    );
}

#[test]
fn nothing_was_found() {
    for thing in ["lock", "session", "process", "directory"] {
        let left = and(ONE, &format!("run: 40 left {thing} some"));
        rejected(NothingLeft, &format!("a {thing} was left: some"), &left);
    }
}

#[test]
fn idle_connections_hold_nothing() {
    let drained = and(ONE, "w1: 40 drained pooled 5 -");
    accepted(&drained);
    let locked = but(&drained, "pooled 5 -", "pooled 5 a+b");
    rejected(NothingLeft, "(pooled, session 5) still held a+b", &locked);
}

/// The second is on the connection that had told the first of a loss.
const AGAIN: &str = "
    #1 w1.1 hold a on pooled: 0 invoke; 10 granted 5; 20 end; 30 lost
    fault cut-one: 15
    #2 w1.2 hold b on pooled: 35 invoke; 40 granted 5; 50 end; 60 ok
";

#[test]
fn a_doubtful_connection_is_not_used_again() {
    rejected(NothingLeft, "session 5 went on to run operation 2", AGAIN);
    accepted(&but(AGAIN, "40 granted 5", "40 granted 6"));
    accepted(&but(AGAIN, "30 lost", "30 ok"));
    accepted(&but(AGAIN, "30 lost", "30 database"));
    let stolen = but(
        AGAIN,
        "20 end; 30 lost",
        "15 struck theft; 20 end; 30 disowned",
    );
    rejected(NothingLeft, "session 5 went on to run operation 2", &stolen);
    accepted(&but(&stolen, "40 granted 5", "40 granted 6"));
    // By the same thread neither.
    rejected(NothingLeft, "session 5", &but(AGAIN, "#2 w1.2", "#2 w1.1"));
    // Nor handed on to one that had been waiting, before the loss was told.
    let handed = but(AGAIN, "35 invoke; 40 granted", "5 invoke; 25 granted");
    rejected(NothingLeft, "session 5", &handed);
    // What was before is not after.
    accepted(&but(
        AGAIN,
        "35 invoke; 40 granted 5; 50 end; 60 ok",
        "0 invoke; 2 granted 5; 4 end; 6 ok",
    ));
}

#[test]
fn numbers_of_sessions_start_over_with_the_server() {
    let between = but(AGAIN, "cut-one: 15", "server-kill: 32..33");
    let between = and(&between, "fault cut-one: 15");
    accepted(&between);
    // Under the first, whose session is dead then.
    accepted(&but(AGAIN, "cut-one: 15", "server-kill: 15..18"));
    // Under the second: it may have been on the new server as well as on the old.
    let during = but(&between, "32..33", "36..38");
    accepted(&during);
    let long_ago = but(
        AGAIN,
        "#1 w1.1 hold a on pooled: 0 invoke",
        "#1 w1.1 hold a on pooled: 5 invoke",
    );
    let long_ago = but(&long_ago, "35 invoke", "0 invoke");
    let long_ago = and(&long_ago, "fault server-kill: 2..3");
    accepted(&long_ago);
    rejected(
        NothingLeft,
        "session 5",
        &but(&long_ago, "0 invoke; 40 granted", "4 invoke; 40 granted"),
    );
    let after = but(&between, "32..33", "65..66");
    rejected(NothingLeft, "session 5", &after);
}

#[test]
fn the_outer_call_may_go_on() {
    let story = "
        #1 w1.1 nested a: 0 invoke; 10 granted 5; 70 end; 80 failed
        #2 w1.1 nested/inner a: 15 invoke; 20 granted 5; 30 end; 35 lost
        #3 w1.1 nested/inner a: 40 invoke; 50 granted 5; 60 end; 65 ok
        fault cut-one: 25
    ";
    accepted(story);
    let other = "#4 w1.1 hold a: 85 invoke; 90 granted 5; 95 end; 99 ok";
    rejected(
        NothingLeft,
        "session 5 went on to run operation 4",
        &and(story, other),
    );
}

#[test]
fn a_doubtful_connection_is_not_kept() {
    let kept = but(AGAIN, "40 granted 5", "40 granted 6");
    let kept = and(&kept, "w1: 70 drained pooled 5 -");
    rejected(NothingLeft, "session 5 was kept", &kept);
    accepted(&but(&kept, "drained pooled 5", "drained pooled 6"));
    accepted(&but(&kept, "30 lost", "30 ok"));
    accepted(&and(&kept, "fault server-kill: 65..66"));
}
