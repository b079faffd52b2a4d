//! (a)

use stress_check::rules::Rule::Exclusive;

use crate::story::{accepted, and, but, rejected};

const TURNS: &str = "
    #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 30 ok
    #2 w2.1 hold a: 5 invoke; 31 granted 6; 40 end; 50 ok
";

#[test]
fn bodies_do_not_overlap() {
    accepted(TURNS);
    // A body's end is before the release.
    accepted(&but(TURNS, "31 granted", "20 granted"));
    let overlap = but(TURNS, "31 granted", "19 granted");
    rejected(Exclusive, "ran under `a` for 1.000 ms while", &overlap);
    // For other names they may.
    accepted(&but(&overlap, "w2.1 hold a", "w2.1 hold b"));
    // Within a process they must not either.
    rejected(Exclusive, "thread 2", &but(&overlap, "w2.1", "w1.2"));
}

#[test]
fn a_nested_body_is_in_its_own_lock() {
    let nested = "
        #1 w1.1 nested a: 0 invoke; 10 granted 5; 40 end; 50 ok
        #2 w1.1 nested/inner a: 15 invoke; 20 granted 5; 30 end; 35 ok
    ";
    accepted(nested);
    let by_others = but(nested, "#2 w1.1", "#2 w1.2");
    rejected(Exclusive, "ran under `a`", &by_others);
}

#[test]
fn one_of_several_names_is_enough() {
    let several = "
        #1 w1.1 all a+b: 0 invoke; 10 granted 5; 20 end; 30 ok
        #2 w2.1 all b+c: 5 invoke; 31 granted 6; 40 end; 50 ok
    ";
    accepted(several);
    let overlap = but(several, "31 granted", "19 granted");
    rejected(Exclusive, "ran under `b`", &overlap);
    accepted(&but(&overlap, "b+c", "c+d"));
}

#[test]
fn an_overlap_hides_behind_no_other() {
    // The first may have been lost at any time, and lasts longest.
    let story = "
        #1 w1.1 hold a: 0 invoke; 10 granted 5
        #2 w2.1 hold a: 0 invoke; 30 granted 6; 40 end; 45 ok
        #3 w3.1 hold a: 0 invoke; 40 granted 7; 50 end; 55 ok
        fault kill-holder session=5: 20
        fault worker-kill worker=1: 90..91
        run: 91 worker 1 killed
    ";
    accepted(story);
    rejected(
        Exclusive,
        "operation 3 of worker 3, thread 1 (hold) ran under `a` for 1.000 ms while operation 2",
        &but(story, "40 granted", "39 granted"),
    );
}

#[test]
fn traces_in_a_file_do_not_overlap() {
    // By the clock there is time in between.
    let turns = and(TURNS, "file a: begin #1; end #1; begin #2; end #2");
    accepted(&turns);
    let crossed = and(TURNS, "file a: begin #1; begin #2; end #1; end #2");
    rejected(Exclusive, "in the file of `a`, operation 2", &crossed);
    // Who was told that it was lost may have left a trace at any time.
    let told = but(&crossed, "30 ok", "30 lost");
    accepted(&and(&told, "fault cut-one: 25"));
    let nested = "
        #1 w1.1 nested a: 0 invoke; 10 granted 5; 40 end; 50 ok
        #2 w1.1 nested/inner a: 15 invoke; 20 granted 5; 30 end; 35 ok
        file a: begin #1; begin #2; end #2; end #1
    ";
    accepted(nested);
}

#[test]
fn the_server_names_the_holder() {
    accepted(TURNS);
    let other = but(TURNS, "granted 6", "granted 6/5");
    rejected(Exclusive, "knew session 5 as the holder of `a`", &other);
    let nobody = but(TURNS, "granted 6", "granted 6/-");
    rejected(Exclusive, "knew nobody as the holder of `a`", &nobody);
    // Nobody could be asked.
    let failed = but(TURNS, "granted 6", "granted -");
    let failed = but(&failed, "50 ok", "50 body-database");
    accepted(&and(&failed, "fault cut-one: 30"));
}

#[test]
fn what_was_told_to_be_lost_may_overlap() {
    let overlap = but(TURNS, "31 granted", "15 granted");
    rejected(Exclusive, "ran under `a`", &overlap);
    let fault = and(&overlap, "fault kill-holder session=5: 12");
    accepted(&but(&fault, "30 ok", "30 lost"));
    let stolen = but(
        &overlap,
        "20 end; 30 ok",
        "12 struck theft; 20 end; 30 disowned",
    );
    accepted(&stolen);
}

#[test]
fn a_body_that_failed_had_its_lock() {
    for word in ["failed", "panicked", "dropped"] {
        let turns = but(TURNS, "30 ok", &format!("30 {word}"));
        accepted(&turns);
        let overlap = but(&turns, "31 granted", "15 granted");
        rejected(Exclusive, "ran under `a`", &overlap);
        // Nobody was told, because there was something else to tell.
        accepted(&and(&overlap, "fault kill-holder session=5: 12"));
        // Another session's end excuses nothing.
        let other = and(&overlap, "fault kill-holder session=7: 12");
        rejected(Exclusive, "ran under `a`", &other);
        // Nor does one that comes later.
        let later = and(&overlap, "fault kill-holder session=5: 21");
        rejected(Exclusive, "ran under `a`", &later);
        // The second may be the one that had lost it.
        let second = but(TURNS, "31 granted", "15 granted");
        let second = but(&second, "50 ok", &format!("50 {word}"));
        rejected(Exclusive, "ran under `a`", &second);
        accepted(&and(&second, "fault kill-holder session=6: 12"));
    }
    let left_open = but(TURNS, "#1 w1.1 hold a", "#1 w1.1 left_open a");
    let left_open = but(&left_open, "30 ok", "30 left-open");
    accepted(&left_open);
    let overlap = but(&left_open, "31 granted", "15 granted");
    rejected(Exclusive, "ran under `a`", &overlap);
}

const KILLED: &str = "
    #1 w1.1 hold a: 0 invoke; 10 granted 5
    #2 w2.1 hold a: 5 invoke; 50 granted 6; 60 end; 70 ok
    fault worker-kill worker=1: 50..53
    run: 53 worker 1 killed
";

#[test]
fn a_killed_process_has_its_lock_until_it_dies() {
    accepted(KILLED);
    let early = but(KILLED, "50 granted", "49 granted");
    rejected(Exclusive, "ran under `a`", &early);
    // Another's death is not its own.
    let other = and(&early, "fault worker-kill worker=3: 30..31");
    rejected(Exclusive, "ran under `a`", &other);
    // Its body may have been over.
    let ended = but(&early, "10 granted 5", "10 granted 5; 45 end");
    accepted(&ended);
    let ended_late = but(&early, "10 granted 5", "10 granted 5; 49.5 end");
    rejected(Exclusive, "ran under `a`", &ended_late);
    // It may have given the lock back by itself.
    accepted(&but(
        &early,
        "10 granted 5",
        "10 granted 5; 45 struck theft",
    ));
    let stolen_late = but(&early, "10 granted 5", "10 granted 5; 49.5 struck theft");
    rejected(Exclusive, "ran under `a`", &stolen_late);
    // As long as it writes it lives, whatever the coordinator has noted.
    let lives = and(KILLED, "#3 w1.2 hold b: 51 invoke");
    rejected(Exclusive, "ran under `a`", &lives);
}

#[test]
fn a_killed_process_may_have_lost_its_lock_before() {
    let early = but(KILLED, "50 granted", "40 granted");
    rejected(Exclusive, "ran under `a`", &early);
    for fault in [
        "fault kill-holder session=5,name=a: 20..21",
        "fault kill-waiter session=5: 20",
        "fault cut-one: 20",
        "fault cut-all: 20",
        "fault server-kill: 20..22",
    ] {
        accepted(&and(&early, fault));
    }
    for fault in [
        "fault kill-holder session=6,name=a: 20..21",
        "fault cut-one: 20 missed",
        "fault interrupt-holder session=5: 20",
        "fault stall: 20..30",
        "fault worker-stop worker=1: 20..30",
    ] {
        rejected(Exclusive, "ran under `a`", &and(&early, fault));
    }
    // The proxy is not between it and the server.
    let direct = but(&early, "#1 w1.1 hold a", "#1 w1.1 hold a on plain-direct");
    for fault in ["fault cut-one: 20", "fault cut-all: 20"] {
        rejected(Exclusive, "ran under `a`", &and(&direct, fault));
    }
}

#[test]
fn a_silent_session_may_have_been_ended() {
    // It began when the server had a short time-out, and has it still.
    let story = "
        fault wait-timeout: 0..100
        #1 w1.1 hold a: 2000 invoke; 2010 granted 5
        #2 w2.1 hold a: 2000 invoke; 2950 granted 6; 2960 end; 2970 ok
        fault worker-kill worker=1: 2980..2981
        run: 2981 worker 1 killed
    ";
    accepted(story);
    let soon = but(
        story,
        "2950 granted 6; 2960 end; 2970 ok",
        "2800 granted 6; 2860 end; 2870 ok",
    );
    rejected(Exclusive, "ran under `a`", &soon);
    let never = but(story, "fault wait-timeout", "fault delay");
    rejected(Exclusive, "ran under `a`", &never);
}
