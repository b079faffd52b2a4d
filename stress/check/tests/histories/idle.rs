//! (d) Nobody waits for a lock that nobody has.

use stress_check::rules::Rule::Prompt;

use crate::story::{accepted, and, but, rejected};

/// After the first has ended, the second waits for nobody for as long as may be.
const WAITS: &str = "
    #1 w1.1 hold a: 0 invoke; 10 granted 5; 990 end; 1000 ok
    #2 w2.1 hold a wait 9000: 500 invoke; 6000 granted 6; 6010 end; 6020 ok
";

/// A millisecond longer.
fn leaked() -> String {
    but(WAITS, "6000 granted", "6001 granted")
}

const SAID: &str = "waited for `a`, which nobody had for 5.001 s";

#[test]
fn a_lock_that_nobody_has_is_had_soon() {
    accepted(WAITS);
    rejected(Prompt, SAID, &leaked());
    // A lock is occupied until the caller is told, not only until the body ends.
    accepted(&but(&leaked(), "1000 ok", "1001 ok"));
    // It does not matter how the wait ends.
    let in_vain = but(
        &leaked(),
        "6001 granted 6; 6010 end; 6020 ok",
        "9500 timeout",
    );
    rejected(Prompt, "which nobody had for 8.500 s", &in_vain);
    let killed = but(&leaked(), "; 6001 granted 6; 6010 end; 6020 ok", "");
    rejected(Prompt, SAID, &and(&killed, "run: 6001 worker 2 killed"));
    accepted(&and(&killed, "run: 6000 worker 2 killed"));
}

#[test]
fn somebody_else_may_have_had_it() {
    let other = and(
        &leaked(),
        "#3 w1.2 hold a: 5 invoke; 1100 granted 5; 1110 end; 1120 ok",
    );
    accepted(&other);
    // It has got another lock.
    rejected(
        Prompt,
        SAID,
        &but(&other, "#3 w1.2 hold a", "#3 w1.2 hold b"),
    );
    // It has not got it.
    let refused = but(&other, "1100 granted 5; 1110 end; 1120 ok", "1120 timeout");
    rejected(Prompt, SAID, &refused);
    // Without interruption: twice four seconds are not eight.
    let twice = but(
        &other,
        "1100 granted 5; 1110 end; 1120 ok",
        "4900 granted 5; 4910 end; 4920 ok",
    );
    let twice = but(&twice, "#3 w1.2 hold a", "#3 w1.2 hold a wait 9000");
    let twice = but(&twice, "6001 granted 6; 6010 end; 6020 ok", "9500 timeout");
    accepted(&twice);
}

#[test]
fn what_is_over_soon_hides_nothing_that_lasts() {
    let long = but(WAITS, "990 end; 1000 ok", "6990 end; 7000 ok");
    let long = but(
        &long,
        "6000 granted 6; 6010 end; 6020 ok",
        "7010 granted 6; 7020 end; 7030 ok",
    );
    accepted(&long);
    accepted(&and(&long, "fault worker-kill worker=7: 600"));
}

#[test]
fn a_killed_process_has_it_until_its_death_is_seen() {
    let killed = but(&leaked(), "; 990 end; 1000 ok", "");
    accepted(&and(&killed, "run: 1001 worker 1 killed"));
    rejected(Prompt, SAID, &and(&killed, "run: 1000 worker 1 killed"));
}

#[test]
fn one_of_several_may_have_been_had_all_the_time() {
    // It may have had `a` and waited for `b`, which the fourth had.
    let several = and(
        &leaked(),
        "#3 w1.2 all a+b wait 9000: 1100 invoke; 10098 timeout",
    );
    let held = and(
        &several,
        "#4 w1.3 hold b: 1000 invoke; 1100 granted 8; 9990 end; 10000 ok",
    );
    accepted(&held);
    // Nobody had either.
    let nobody = but(&held, "#4 w1.3 hold b", "#4 w1.3 hold c");
    rejected(Prompt, SAID, &nobody);
    // Unless somebody had `c`, and somebody else `b` who waited for that.
    accepted(&and(
        &nobody,
        "#5 w1.4 all b+c wait 9000: 1100 invoke; 10098 timeout",
    ));
    rejected(Prompt, SAID, &but(&held, "all a+b", "all b+c"));
    rejected(Prompt, SAID, &but(&held, "all a+b", "all a"));
    // But not against itself.
    let alone = "
        #1 w1.1 all a+b: 0 invoke; 10 granted 5; 990 end; 1000 ok
        #2 w2.1 all b+c wait 9000: 500 invoke; 6000 granted 6; 6010 end; 6020 ok
    ";
    accepted(alone);
    let alone = but(alone, "6000 granted", "6001 granted");
    rejected(
        Prompt,
        "waited for `b+c`, which nobody had for 5.001 s",
        &alone,
    );
    // Any of its locks is enough.
    accepted(&and(
        &alone,
        "#3 w3.1 hold c: 1990 invoke; 2000 granted 7; 2010 end; 2020 ok",
    ));
}

#[test]
fn an_inner_lock_may_have_been_had_since_it_was_asked_for() {
    let inner = and(
        &leaked(),
        "#3 w1.2 crossing b wait 9000: 1050 invoke; 1060 granted 8; 6500 end; 6510 ok",
    );
    let inner = and(
        &inner,
        "#4 w1.2 crossing/inner a: 1100 invoke; 2100 timeout",
    );
    accepted(&inner);
    rejected(
        Prompt,
        SAID,
        &but(&inner, "crossing/inner a", "crossing/inner c"),
    );
    // One that is in its own lock takes none.
    let own = but(&inner, "crossing/inner a", "nested/inner b");
    rejected(Prompt, SAID, &own);
}

#[test]
fn who_finds_no_connection_had_his_turn() {
    let none = and(
        &leaked(),
        "#3 w2.2 hold a on squeezed-lock-pool-direct: 700 invoke; 1200 pool",
    );
    accepted(&none);
    // Not since he asked.
    let long_ago = but(&none, "700 invoke; 1200 pool", "400 invoke; 1000 pool");
    rejected(Prompt, SAID, &long_ago);
}

#[test]
fn an_outage_does_not_count() {
    // An outage may be felt for a second after it is over.
    let story = but(
        &leaked(),
        "6001 granted 6; 6010 end; 6020 ok",
        "8200 granted 6; 8210 end; 8220 ok",
    );
    rejected(Prompt, "which nobody had for 7.200 s", &story);
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
        let felt = and(&story, &format!("fault {fault}: 2000..2200"));
        accepted(&felt);
        let less = but(&felt, "2000..2200", "2000..2199");
        rejected(Prompt, "which nobody had for 5.001 s", &less);
    }
    for fault in ["interrupt-holder session=9", "storm session=9"] {
        let felt = and(&story, &format!("fault {fault}: 2000..2200"));
        rejected(Prompt, "which nobody had for 7.200 s", &felt);
    }
}
