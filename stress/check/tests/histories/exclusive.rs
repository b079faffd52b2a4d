//! (a) Bodies that reported success under one name never overlap.

use stress_check::rules::Rule::Exclusive;

use crate::scenario::{accepted, add, edit, rejected};

const TURNS: &str = "
    #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 30 ok
    #2 w2.1 hold a: 5 invoke; 31 acquired 6; 40 end; 50 ok
";

#[test]
fn overlapping_bodies_under_one_name_are_rejected() {
    accepted(TURNS);
    // A body ends before the release.
    accepted(&edit(TURNS, "31 acquired", "20 acquired"));
    let overlap = edit(TURNS, "31 acquired", "19 acquired");
    rejected(Exclusive, "ran under `a` for 1.000 ms while", &overlap);
    accepted(&edit(&overlap, "w2.1 hold a", "w2.1 hold b"));
    // The same holds within a process.
    rejected(Exclusive, "thread 2", &edit(&overlap, "w2.1", "w1.2"));
}

#[test]
fn readers_overlap_each_other_and_no_writer() {
    let overlap = edit(TURNS, "31 acquired", "19 acquired");
    let reader = edit(&overlap, "w2.1 hold", "w2.1 shared.run");
    rejected(Exclusive, "ran under `a` for 1.000 ms while", &reader);
    let readers = edit(&reader, "w1.1 hold", "w1.1 shared.transaction");
    accepted(&readers);
    let file = "file a: begin #1; begin #2; end #1; end #2";
    accepted(&add(&readers, file));
    // In the file alone, one of them is a writer.
    let turns = edit(TURNS, "w2.1 hold", "w2.1 shared.run");
    rejected(Exclusive, "in the file of `a`", &add(&turns, file));
}

#[test]
fn a_nested_body_of_the_same_thread_is_accepted() {
    let nested = "
        #1 w1.1 nested a: 0 invoke; 10 acquired 5; 40 end; 50 ok
        #2 w1.1 nested/inner a: 15 invoke; 20 acquired 5; 30 end; 35 ok
    ";
    accepted(nested);
    let other_thread = edit(nested, "#2 w1.1", "#2 w1.2");
    rejected(Exclusive, "ran under `a`", &other_thread);
}

#[test]
fn sets_that_overlap_in_one_name_are_rejected() {
    let several = "
        #1 w1.1 all a+b: 0 invoke; 10 acquired 5; 20 end; 30 ok
        #2 w2.1 all b+c: 5 invoke; 31 acquired 6; 40 end; 50 ok
    ";
    accepted(several);
    let overlap = edit(several, "31 acquired", "19 acquired");
    rejected(Exclusive, "ran under `b`", &overlap);
    accepted(&edit(&overlap, "b+c", "c+d"));
}

#[test]
fn an_overlap_beside_an_excused_one_is_rejected() {
    // The first lasts longest, and may have lost its lock at any time.
    let scenario = "
        #1 w1.1 hold a: 0 invoke; 10 acquired 5
        #2 w2.1 hold a: 0 invoke; 30 acquired 6; 40 end; 45 ok
        #3 w3.1 hold a: 0 invoke; 40 acquired 7; 50 end; 55 ok
        fault kill-holder session=5: 20
        fault worker-kill worker=1: 90..91
        run: 91 worker 1 killed
    ";
    accepted(scenario);
    rejected(
        Exclusive,
        "call 3 of worker 3, thread 1 (hold) ran under `a` for 1.000 ms while call 2",
        &edit(scenario, "40 acquired", "39 acquired"),
    );
}

#[test]
fn overlapping_lines_in_a_locks_file_are_rejected() {
    // By the clock, the bodies do not overlap.
    let turns = add(TURNS, "file a: begin #1; end #1; begin #2; end #2");
    accepted(&turns);
    let crossed = add(TURNS, "file a: begin #1; begin #2; end #1; end #2");
    rejected(Exclusive, "in the file of `a`, call 2", &crossed);
    // A body that lost its lock may have written at any time.
    let lost = edit(&crossed, "30 ok", "30 lost");
    accepted(&add(&lost, "fault cut-one: 25"));
    let nested = "
        #1 w1.1 nested a: 0 invoke; 10 acquired 5; 40 end; 50 ok
        #2 w1.1 nested/inner a: 15 invoke; 20 acquired 5; 30 end; 35 ok
        file a: begin #1; begin #2; end #2; end #1
    ";
    accepted(nested);
}

#[test]
fn another_holder_by_the_server_is_rejected() {
    accepted(TURNS);
    let other = edit(TURNS, "acquired 6", "acquired 6/5");
    rejected(Exclusive, "reported session 5 as the holder of `a`", &other);
    let none = edit(TURNS, "acquired 6", "acquired 6/-");
    rejected(Exclusive, "reported no session as the holder of `a`", &none);
    // The server did not answer.
    let failed = edit(TURNS, "acquired 6", "acquired -");
    let failed = edit(&failed, "50 ok", "50 body-database");
    accepted(&add(&failed, "fault cut-one: 30"));
}

#[test]
fn an_overlap_with_a_reported_loss_is_accepted() {
    let overlap = edit(TURNS, "31 acquired", "15 acquired");
    rejected(Exclusive, "ran under `a`", &overlap);
    let fault = add(&overlap, "fault kill-holder session=5: 12");
    accepted(&edit(&fault, "30 ok", "30 lost"));
    let stolen = edit(
        &overlap,
        "20 end; 30 ok",
        "12 injected theft; 20 end; 30 not-held",
    );
    accepted(&stolen);
}

#[test]
fn an_overlap_with_a_body_whose_runtime_is_shut_down_is_accepted() {
    let cut = edit(TURNS, "30 ok", "30 cut");
    let overlap = edit(&cut, "31 acquired", "15 acquired");
    rejected(Exclusive, "ran under `a`", &overlap);
    let shut_down = edit(&overlap, "20 end", "14 injected runtime-shutdown; 20 end");
    accepted(&shut_down);
    // A body that reports success held its lock throughout.
    let reported = edit(&shut_down, "30 cut", "30 ok");
    rejected(Exclusive, "ran under `a`", &reported);
    // The overlap was before the shutdown.
    let late = edit(&overlap, "20 end", "28 injected runtime-shutdown; 29 end");
    rejected(Exclusive, "ran under `a`", &edit(&late, "40 end", "27 end"));
}

#[test]
fn an_overlap_with_a_failed_body_is_rejected_unless_a_fault_explains_it() {
    for word in ["failed", "panicked", "dropped"] {
        let turns = edit(TURNS, "30 ok", &format!("30 {word}"));
        accepted(&turns);
        let overlap = edit(&turns, "31 acquired", "15 acquired");
        rejected(Exclusive, "ran under `a`", &overlap);
        // The body's own error hides the loss.
        accepted(&add(&overlap, "fault kill-holder session=5: 12"));
        // The end of another session does not explain it.
        let other = add(&overlap, "fault kill-holder session=7: 12");
        rejected(Exclusive, "ran under `a`", &other);
        // A lock that the body itself released was lost from then on, and not before.
        let stolen = edit(&overlap, "20 end", "14 injected theft; 20 end");
        accepted(&stolen);
        let late = edit(&overlap, "20 end", "16 injected theft; 20 end");
        rejected(Exclusive, "ran under `a` for 1.000 ms", &late);
        // Nor does a later end.
        let later = add(&overlap, "fault kill-holder session=5: 21");
        rejected(Exclusive, "ran under `a`", &later);
        // The second body may be the one that lost its lock.
        let second = edit(TURNS, "31 acquired", "15 acquired");
        let second = edit(&second, "50 ok", &format!("50 {word}"));
        rejected(Exclusive, "ran under `a`", &second);
        accepted(&add(&second, "fault kill-holder session=6: 12"));
    }
    let left_open = edit(TURNS, "#1 w1.1 hold a", "#1 w1.1 left_open a");
    let left_open = edit(&left_open, "30 ok", "30 left-open");
    accepted(&left_open);
    let overlap = edit(&left_open, "31 acquired", "15 acquired");
    rejected(Exclusive, "ran under `a`", &overlap);
}

#[test]
fn an_overlap_in_a_transaction_that_did_not_commit_is_accepted_if_a_fault_explains_it() {
    // The lock of the inner call lasts until the outer call's COMMIT.
    let transaction = "
        #1 w1.1 until_commit.crossing a: 0 invoke; 5 acquired 5; 35 end; 40 body-database unknown
        #2 w1.1 until_commit.crossing/inner b: 6 invoke; 10 acquired 5; 30 end; 31 ok
        #3 w2.1 hold b: 15 invoke; 20 acquired 6; 25 end; 28 ok
        fault cut-one: 15
        file b: begin #2; begin #3; end #3; end #2
    ";
    accepted(transaction);
    let other = edit(transaction, "cut-one: 15", "cut-one: 15 missed");
    let explained = add(&other, "fault interrupt-holder session=5: 38");
    rejected(Exclusive, "ran under `b`", &explained);
    let separate = transaction.replace("until_commit.crossing", "crossing");
    rejected(Exclusive, "ran under `b`", &separate);
}

const KILLED: &str = "
    #1 w1.1 hold a: 0 invoke; 10 acquired 5
    #2 w2.1 hold a: 5 invoke; 50 acquired 6; 60 end; 70 ok
    fault worker-kill worker=1: 50..53
    run: 53 worker 1 killed
";

#[test]
fn an_overlap_with_a_killed_process_is_rejected_until_the_kill() {
    accepted(KILLED);
    let early = edit(KILLED, "50 acquired", "49 acquired");
    rejected(Exclusive, "ran under `a`", &early);
    // The kill of another worker does not count.
    let other = add(&early, "fault worker-kill worker=3: 30..31");
    rejected(Exclusive, "ran under `a`", &other);
    // Its body had ended.
    let ended = edit(&early, "10 acquired 5", "10 acquired 5; 45 end");
    accepted(&ended);
    let ended_late = edit(&early, "10 acquired 5", "10 acquired 5; 49.5 end");
    rejected(Exclusive, "ran under `a`", &ended_late);
    // Its body had released the lock.
    accepted(&edit(
        &early,
        "10 acquired 5",
        "10 acquired 5; 45 injected theft",
    ));
    let stolen_late = edit(
        &early,
        "10 acquired 5",
        "10 acquired 5; 49.5 injected theft",
    );
    rejected(Exclusive, "ran under `a`", &stolen_late);
    // A process that writes lives, whatever the coordinator has written.
    let lives = add(KILLED, "#3 w1.2 hold b: 51 invoke");
    rejected(Exclusive, "ran under `a`", &lives);
}

#[test]
fn an_overlap_with_a_killed_process_after_an_earlier_loss_is_accepted() {
    let early = edit(KILLED, "50 acquired", "40 acquired");
    rejected(Exclusive, "ran under `a`", &early);
    for fault in [
        "fault kill-holder session=5,name=a: 20..21",
        "fault kill-waiter session=5: 20",
        "fault cut-one: 20",
        "fault cut-all: 20",
        "fault server-kill: 20..22",
    ] {
        accepted(&add(&early, fault));
    }
    for fault in [
        "fault kill-holder session=6,name=a: 20..21",
        "fault cut-one: 20 missed",
        "fault interrupt-holder session=5: 20",
        "fault stall: 20..30",
        "fault worker-stop worker=1: 20..30",
    ] {
        rejected(Exclusive, "ran under `a`", &add(&early, fault));
    }
    // Its connection bypasses the proxy.
    let direct = edit(&early, "#1 w1.1 hold a", "#1 w1.1 hold a on plain-direct");
    for fault in ["fault cut-one: 20", "fault cut-all: 20"] {
        rejected(Exclusive, "ran under `a`", &add(&direct, fault));
    }
}

#[test]
fn an_overlap_with_an_idle_session_is_accepted_under_a_short_wait_timeout() {
    // A session keeps the `wait_timeout` with which it began.
    let scenario = "
        fault wait-timeout: 0..100
        #1 w1.1 hold a: 2000 invoke; 2010 acquired 5
        #2 w2.1 hold a: 2000 invoke; 2950 acquired 6; 2960 end; 2970 ok
        fault worker-kill worker=1: 2980..2981
        run: 2981 worker 1 killed
    ";
    accepted(scenario);
    let soon = edit(
        scenario,
        "2950 acquired 6; 2960 end; 2970 ok",
        "2800 acquired 6; 2860 end; 2870 ok",
    );
    rejected(Exclusive, "ran under `a`", &soon);
    let never = edit(scenario, "fault wait-timeout", "fault delay");
    rejected(Exclusive, "ran under `a`", &never);
}

/// The future of the first call was dropped in its body. It held the lock until then.
const CUT: &str = "
    #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 20 cut
    #2 w2.1 hold a: 5 invoke; 25 acquired 6; 35 end; 40 ok
";

#[test]
fn a_body_beside_one_that_is_cut_later_is_rejected() {
    accepted(CUT);
    let early = edit(CUT, "25 acquired", "15 acquired");
    rejected(Exclusive, "call 2", &early);
    // The session of the first call had ended before.
    accepted(&add(&early, "fault kill-holder session=5: 12"));
    // Before the body of the first call, its future held nothing.
    accepted(&edit(&early, "10 acquired 5; 20 end; 20 cut", "20 cut"));
}
