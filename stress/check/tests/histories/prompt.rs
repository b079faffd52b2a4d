//! (d) Nobody waits longer than he was ready to, or for less; no thread hangs.

use stress_check::rules::Rule::Prompt;

use crate::story::{accepted, and, but, judge, rejected};

/// Somebody else has the lock all the time.
const WAITS: &str = "
    #1 w1.1 hold a: 0 invoke; 1 granted 5; 9000 end; 9001 ok
    #2 w2.1 hold a wait 1000: 2 invoke; 6002 timeout
";

#[test]
fn a_wait_ends_with_its_time() {
    accepted(WAITS);
    let late = but(WAITS, "6002 timeout", "6003 timeout");
    rejected(
        Prompt,
        "waited 6.001 s, for which it had asked 1.000 s",
        &late,
    );
    accepted(&but(&late, "wait 1000", "wait 1001"));
    // However it ends.
    let granted = but(&late, "9000 end; 9001 ok", "6000 end; 6001 ok");
    let granted = but(
        &granted,
        "6003 timeout",
        "6003 granted 6; 6004 end; 6005 ok",
    );
    rejected(Prompt, "waited 6.001 s", &granted);
    accepted(&but(&granted, "6003 granted", "6002 granted"));
    let killed = but(WAITS, "; 6002 timeout", "");
    let killed = and(&killed, "run: 6003 worker 2 killed");
    rejected(Prompt, "waited 6.001 s", &killed);
    accepted(&but(&killed, "6003 worker", "6002 worker"));
}

#[test]
fn an_outage_excuses_as_much_as_it_lasts() {
    let late = but(WAITS, "6002 timeout", "6503 timeout");
    for kind in [
        "server-pause",
        "server-kill",
        "server-start",
        "stall",
        "delay",
    ] {
        let enough = and(&late, &format!("fault {kind}: 2000..2501"));
        // The holder has its own view of a dead server.
        let enough = but(&enough, "9001 ok", "9001 lost");
        let enough = and(&enough, "fault cut-one: 9000");
        accepted(&enough);
        rejected(
            Prompt,
            "waited 6.501 s",
            &but(&enough, "2000..2501", "2000..2500"),
        );
    }
    // What lies outside of the wait does not count.
    let outside = and(&late, "fault stall: 6400..6600");
    rejected(Prompt, "waited 6.501 s", &outside);
    let stopped = and(&late, "fault worker-stop worker=2: 2000..2501");
    accepted(&stopped);
    // Another process that stood still is no excuse, nor is a short fault.
    rejected(
        Prompt,
        "waited 6.501 s",
        &but(&stopped, "worker=2", "worker=1"),
    );
    rejected(
        Prompt,
        "waited 6.501 s",
        &and(&late, "fault kill-waiter session=9: 2000..2600"),
    );
}

#[test]
fn a_wait_lasts_as_long_as_was_asked() {
    let early = but(WAITS, "6002 timeout", "1000 timeout");
    accepted(&early);
    let too_early = but(&early, "1000 timeout", "999 timeout");
    rejected(
        Prompt,
        "was told after 0.997 s that its time of 1.000 s was over",
        &too_early,
    );
    rejected(
        Prompt,
        "was told",
        &but(&too_early, "999 timeout", "999 busy"),
    );
    accepted(&but(
        &but(&too_early, "999 timeout", "999 busy"),
        "wait 1000",
        "wait 0",
    ));
}

#[test]
fn an_answer_comes_soon_after_the_body() {
    let story = "
        #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 5020 ok
    ";
    accepted(story);
    let late = but(story, "5020 ok", "5021 ok");
    rejected(Prompt, "took 5.001 s to end", &late);
    accepted(&and(&late, "fault stall: 30..31"));
    accepted(&and(&late, "fault worker-stop worker=1: 30..31"));
}

#[test]
fn every_call_has_an_outcome() {
    let story = "
        #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 30 ok
    ";
    accepted(story);
    for none in [
        "; 20 end; 30 ok",
        "; 30 ok",
        "; 10 granted 5; 20 end; 30 ok",
    ] {
        let story = but(story, none, "");
        rejected(Prompt, "has no outcome", &story);
        accepted(&and(&story, "run: 40 worker 1 killed"));
    }
}

#[test]
fn workers_end_when_they_are_told_to() {
    let story = "
        #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 30 ok
    ";
    accepted(story);
    for (state, said) in [
        ("hung", "worker 1 did not end when it was told to"),
        ("failed", "worker 1 ended on its own"),
        ("exited", "worker 1 ended before it had finished"),
        ("lives", "worker 1 was never seen to end"),
    ] {
        let story = and(story, &format!("run: 40 worker 1 {state}"));
        rejected(Prompt, said, &story);
    }
    let finished = and(story, "run: 40 worker 1 exited");
    accepted(&and(&finished, "w1: 39 finished"));
    accepted(&and(story, "run: 40 worker 1 killed"));
}

/// As many calls, of which the last is another.
fn calls(count: usize, way: &str, word: &str, last: &str) -> String {
    let words = (1..count).map(|_| word).chain([last]);
    words
        .zip(1..)
        .map(|(word, id)| {
            let body = if word == "dropped" || word == "ok" || word == "left-open" {
                format!("{id}.2 granted 5; {id}.4 end; ")
            } else {
                String::new()
            };
            format!("#{id} w1.1 {way} a wait 0: {id} invoke; {body}{id}.5 {word}\n")
        })
        .collect()
}

#[test]
fn every_way_succeeds_once() {
    rejected(
        Prompt,
        "`try_hold` was tried 300 times",
        &calls(300, "try_hold", "busy", "busy"),
    );
    accepted(&calls(299, "try_hold", "busy", "busy"));
    accepted(&calls(300, "try_hold", "busy", "ok"));
    // For some that means something else.
    accepted(&calls(300, "dropped", "dropped", "dropped"));
    accepted(&calls(
        300,
        "in_transaction",
        "open-transaction",
        "open-transaction",
    ));
    accepted(&calls(300, "left_open", "left-open", "left-open"));
}

#[test]
fn every_kind_of_connection_succeeds_once() {
    let other = "#999 w2.1 try_hold b on pooled: 1000 invoke; 1001 granted 7; 1002 end; 1003 ok";
    let story = and(&calls(300, "try_hold", "busy", "busy"), other);
    rejected(Prompt, "`plain` was tried 300 times and never", &story);
    accepted(&but(&story, "on pooled", "on plain"));
    let broken: Vec<_> = judge(&story)
        .violations()
        .iter()
        .map(|v| v.what.clone())
        .collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
}
