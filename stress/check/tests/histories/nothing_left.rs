//! (e) No lock, locked connection, session, process or directory remains at the end.

use stress_check::rules::Rule::NothingLeft;

use crate::scenario::{accepted, add, edit, rejected};

const ONE: &str = "
    #1 w1.1 hold a on pooled: 0 invoke; 10 acquired 5; 20 end; 30 ok
";

#[test]
fn a_run_without_the_final_checks_is_rejected() {
    accepted(ONE);
    let aborted = add(ONE, "run: 40 aborted");
    rejected(
        NothingLeft,
        "the coordinator did not finish its checks",
        &aborted,
    );
    // The worker's missing end is no further violation.
    let lives = add(&aborted, "run: 40 worker 1 lives");
    rejected(
        NothingLeft,
        "the coordinator did not finish its checks",
        &lives,
    );
}

#[test]
fn a_leftover_is_rejected() {
    for thing in ["lock", "session", "process", "directory"] {
        let left = add(ONE, &format!("run: 40 left {thing} some"));
        rejected(NothingLeft, &format!("a {thing} remained: some"), &left);
    }
}

#[test]
fn an_idle_connection_with_a_lock_is_rejected() {
    let drained = add(ONE, "w1: 40 drained pooled 5 -");
    accepted(&drained);
    let locked = edit(&drained, "pooled 5 -", "pooled 5 a+b");
    rejected(NothingLeft, "(pooled, session 5) held a+b", &locked);
}

/// The second call is on the connection on which the first lost its lock.
const AGAIN: &str = "
    #1 w1.1 hold a on pooled: 0 invoke; 10 acquired 5; 20 end; 30 lost
    fault cut-one: 15
    #2 w1.2 hold b on pooled: 35 invoke; 40 acquired 5; 50 end; 60 ok
";

#[test]
fn a_connection_used_after_an_unconfirmed_release_is_rejected() {
    rejected(NothingLeft, "session 5 was used again by call 2", AGAIN);
    accepted(&edit(AGAIN, "40 acquired 5", "40 acquired 6"));
    accepted(&edit(AGAIN, "30 lost", "30 ok"));
    accepted(&edit(AGAIN, "30 lost", "30 database"));
    let stolen = edit(
        AGAIN,
        "20 end; 30 lost",
        "15 injected theft; 20 end; 30 not-held",
    );
    rejected(NothingLeft, "session 5 was used again by call 2", &stolen);
    accepted(&edit(&stolen, "40 acquired 5", "40 acquired 6"));
    // The same holds for the same thread.
    rejected(NothingLeft, "session 5", &edit(AGAIN, "#2 w1.2", "#2 w1.1"));
    // The same holds for a handoff before the first call returned.
    let handoff = edit(AGAIN, "35 invoke; 40 acquired", "5 invoke; 25 acquired");
    rejected(NothingLeft, "session 5", &handoff);
    // The second call came before the loss.
    accepted(&edit(
        AGAIN,
        "35 invoke; 40 acquired 5; 50 end; 60 ok",
        "0 invoke; 2 acquired 5; 4 end; 6 ok",
    ));
}

#[test]
fn a_session_number_reused_after_a_restart_is_accepted() {
    let between = edit(AGAIN, "cut-one: 15", "server-kill: 32..33");
    let between = add(&between, "fault cut-one: 15");
    accepted(&between);
    // During the first call.
    accepted(&edit(AGAIN, "cut-one: 15", "server-kill: 15..18"));
    // During the second call, which may have been on either server.
    let during = edit(&between, "32..33", "36..38");
    accepted(&during);
    let long_ago = edit(
        AGAIN,
        "#1 w1.1 hold a on pooled: 0 invoke",
        "#1 w1.1 hold a on pooled: 5 invoke",
    );
    let long_ago = edit(&long_ago, "35 invoke", "0 invoke");
    let long_ago = add(&long_ago, "fault server-kill: 2..3");
    accepted(&long_ago);
    rejected(
        NothingLeft,
        "session 5",
        &edit(&long_ago, "0 invoke; 40 acquired", "4 invoke; 40 acquired"),
    );
    let after = edit(&between, "32..33", "65..66");
    rejected(NothingLeft, "session 5", &after);
}

#[test]
fn an_outer_call_that_goes_on_after_an_inner_loss_is_accepted() {
    let scenario = "
        #1 w1.1 nested a: 0 invoke; 10 acquired 5; 70 end; 80 failed
        #2 w1.1 nested/inner a: 15 invoke; 20 acquired 5; 30 end; 35 lost
        #3 w1.1 nested/inner a: 40 invoke; 50 acquired 5; 60 end; 65 ok
        fault cut-one: 25
    ";
    accepted(scenario);
    let other = "#4 w1.1 hold a: 85 invoke; 90 acquired 5; 95 end; 99 ok";
    rejected(
        NothingLeft,
        "session 5 was used again by call 4",
        &add(scenario, other),
    );
}

#[test]
fn a_connection_kept_after_an_unconfirmed_release_is_rejected() {
    let kept = edit(AGAIN, "40 acquired 5", "40 acquired 6");
    let kept = add(&kept, "w1: 70 drained pooled 5 -");
    rejected(NothingLeft, "session 5 was kept", &kept);
    accepted(&edit(&kept, "drained pooled 5", "drained pooled 6"));
    accepted(&edit(&kept, "30 lost", "30 ok"));
    accepted(&add(&kept, "fault server-kill: 65..66"));
}

/// The future of the first call was dropped, which ends its session.
const CUT: &str = "
    #1 w1.1 hold a on bb8: 0 invoke; 5 checked 5; 10 acquired 5; 20 end; 20 cut
    #2 w1.2 hold b on bb8: 35 invoke; 36 checked 6; 40 acquired 6; 50 end; 60 ok
";

#[test]
fn a_connection_used_after_a_cut_is_rejected() {
    accepted(CUT);
    let again = edit(
        CUT,
        "36 checked 6; 40 acquired 6",
        "36 checked 5; 40 acquired 5",
    );
    rejected(NothingLeft, "session 5 was used again by call 2", &again);
    // The call was cut before its body, or the session is known only from the body.
    let waits = edit(&again, "10 acquired 5; 20 end; ", "");
    rejected(NothingLeft, "session 5 was used again by call 2", &waits);
    let in_pool = edit(&again, "5 checked 5; 10", "10");
    rejected(NothingLeft, "session 5 was used again by call 2", &in_pool);
    // The second call was handed the connection, and its own future was dropped before the body.
    let before_body = edit(&again, "40 acquired 5; 50 end; 60 ok", "60 cut");
    rejected(
        NothingLeft,
        "session 5 was used again by call 2",
        &before_body,
    );
    // A pool would hand out the connection again.
    let unmarked = edit(CUT, "20 end; 20 cut", "20 end; 20 cut; 21 kept");
    rejected(NothingLeft, "was not marked as broken", &unmarked);
    // A connection that is idle at the end was kept.
    let kept = add(CUT, "w1: 70 drained bb8 5 -");
    rejected(NothingLeft, "session 5 was kept", &kept);
}
