//! (d) Waits are as long as requested, and end; no thread hangs.

use stress_check::rules::Rule::Prompt;

use crate::scenario::{accepted, add, check, edit, rejected};

/// The second call waits, and the first holds the lock all the time.
const WAITS: &str = "
    #1 w1.1 hold a: 0 invoke; 1 acquired 5; 9000 end; 9001 ok
    #2 w2.1 hold a wait 1000: 2 invoke; 6002 timeout
";

#[test]
fn a_wait_beyond_its_timeout_is_rejected() {
    accepted(WAITS);
    let late = edit(WAITS, "6002 timeout", "6003 timeout");
    rejected(Prompt, "waited 6.001 s with a timeout of 1.000 s", &late);
    accepted(&edit(&late, "wait 1000", "wait 1001"));
    // It does not matter how the wait ends.
    let acquired = edit(&late, "9000 end; 9001 ok", "6000 end; 6001 ok");
    let acquired = edit(
        &acquired,
        "6003 timeout",
        "6003 acquired 6; 6004 end; 6005 ok",
    );
    rejected(Prompt, "waited 6.001 s", &acquired);
    accepted(&edit(&acquired, "6003 acquired", "6002 acquired"));
    let killed = edit(WAITS, "; 6002 timeout", "");
    let killed = add(&killed, "run: 6003 worker 2 killed");
    rejected(Prompt, "waited 6.001 s", &killed);
    accepted(&edit(&killed, "6003 worker", "6002 worker"));
}

#[test]
fn an_outage_excuses_a_wait_for_as_long_as_it_lasts() {
    let late = edit(WAITS, "6002 timeout", "6503 timeout");
    for kind in [
        "server-pause",
        "server-kill",
        "server-start",
        "stall",
        "delay",
    ] {
        let enough = add(&late, &format!("fault {kind}: 2000..2501"));
        // The holder may lose its lock in an outage.
        let enough = edit(&enough, "9001 ok", "9001 lost");
        let enough = add(&enough, "fault cut-one: 9000");
        accepted(&enough);
        rejected(
            Prompt,
            "waited 6.501 s",
            &edit(&enough, "2000..2501", "2000..2500"),
        );
    }
    // The part outside of the wait does not count.
    let outside = add(&late, "fault stall: 6400..6600");
    rejected(Prompt, "waited 6.501 s", &outside);
    let stopped = add(&late, "fault worker-stop worker=2: 2000..2501");
    accepted(&stopped);
    // Another stopped process is no excuse, nor is a fault that is no outage.
    rejected(
        Prompt,
        "waited 6.501 s",
        &edit(&stopped, "worker=2", "worker=1"),
    );
    rejected(
        Prompt,
        "waited 6.501 s",
        &add(&late, "fault kill-waiter session=9: 2000..2600"),
    );
}

#[test]
fn an_early_timeout_is_rejected() {
    let early = edit(WAITS, "6002 timeout", "1000 timeout");
    accepted(&early);
    let too_early = edit(&early, "1000 timeout", "999 timeout");
    rejected(
        Prompt,
        "timed out after 0.997 s with a timeout of 1.000 s",
        &too_early,
    );
    rejected(
        Prompt,
        "timed out",
        &edit(&too_early, "999 timeout", "999 contended"),
    );
    accepted(&edit(
        &edit(&too_early, "999 timeout", "999 contended"),
        "wait 1000",
        "wait 0",
    ));
}

#[test]
fn a_late_return_after_the_body_is_rejected() {
    let scenario = "
        #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 5020 ok
    ";
    accepted(scenario);
    let late = edit(scenario, "5020 ok", "5021 ok");
    rejected(Prompt, "returned 5.001 s after its body ended", &late);
    accepted(&add(&late, "fault stall: 30..31"));
    accepted(&add(&late, "fault worker-stop worker=1: 30..31"));
}

#[test]
fn a_call_without_an_outcome_is_rejected() {
    let scenario = "
        #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 30 ok
    ";
    accepted(scenario);
    for none in [
        "; 20 end; 30 ok",
        "; 30 ok",
        "; 10 acquired 5; 20 end; 30 ok",
    ] {
        let scenario = edit(scenario, none, "");
        rejected(Prompt, "has no outcome", &scenario);
        accepted(&add(&scenario, "run: 40 worker 1 killed"));
    }
}

#[test]
fn a_worker_that_does_not_stop_on_request_is_rejected() {
    let scenario = "
        #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 30 ok
    ";
    accepted(scenario);
    for (state, message) in [
        ("hung", "worker 1 did not stop on request"),
        ("failed", "worker 1 ended without a request"),
        ("exited", "worker 1 stopped before it had finished"),
        ("lives", "worker 1 has no end in the history"),
    ] {
        let scenario = add(scenario, &format!("run: 40 worker 1 {state}"));
        rejected(Prompt, message, &scenario);
    }
    let finished = add(scenario, "run: 40 worker 1 exited");
    accepted(&add(&finished, "w1: 39 finished"));
    accepted(&add(scenario, "run: 40 worker 1 killed"));
}

/// A number of calls with one outcome, and a last one with another.
fn calls(count: usize, operation: &str, word: &str, last: &str) -> String {
    let words = (1..count).map(|_| word).chain([last]);
    words
        .zip(1..)
        .map(|(word, id)| {
            let body = if word == "dropped" || word == "ok" || word == "left-open" {
                format!("{id}.2 acquired 5; {id}.4 end; ")
            } else {
                String::new()
            };
            format!("#{id} w1.1 {operation} a wait 0: {id} invoke; {body}{id}.5 {word}\n")
        })
        .collect()
}

#[test]
fn an_operation_that_never_succeeds_is_rejected() {
    rejected(
        Prompt,
        "`try_hold` was tried 300 times",
        &calls(300, "try_hold", "contended", "contended"),
    );
    accepted(&calls(299, "try_hold", "contended", "contended"));
    accepted(&calls(300, "try_hold", "contended", "ok"));
    // The intended outcome of some operations is not `ok`.
    accepted(&calls(300, "dropped", "dropped", "dropped"));
    accepted(&calls(
        300,
        "in_transaction",
        "open-transaction",
        "open-transaction",
    ));
    accepted(&calls(300, "left_open", "left-open", "left-open"));
    let discards: String = (1..=300)
        .map(|id| {
            format!(
                "#{id} w1.1 discard_all a wait 0: {id} invoke; {id}.2 acquired {id}; \
                 {id}.3 injected discard-all; {id}.4 end; {id}.5 not-held\n"
            )
        })
        .collect();
    accepted(&discards);
}

#[test]
fn a_source_that_never_succeeds_is_rejected() {
    let other = "#999 w2.1 try_hold b on pooled: 1000 invoke; 1001 acquired 7; 1002 end; 1003 ok";
    let scenario = add(&calls(300, "try_hold", "contended", "contended"), other);
    rejected(Prompt, "`plain` was tried 300 times and never", &scenario);
    accepted(&edit(&scenario, "on pooled", "on plain"));
    let broken: Vec<_> = check(&scenario)
        .violations()
        .iter()
        .map(|v| v.what.clone())
        .collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
}
