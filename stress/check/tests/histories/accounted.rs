//! (b) A counter has the value that the reported commits add up to.

use stress_check::rules::Rule::Accounted;

use crate::scenario::{accepted, add, edit, rejected};

const TWO: &str = "
    #1 w1.1 transaction a: 0 invoke; 10 acquired 5; 20 end a=1; 30 ok
    #2 w2.1 transaction a: 0 invoke; 40 acquired 6; 50 end a=2; 60 ok
    run: 90 final a 2
";

#[test]
fn two_commits_of_one_number_are_rejected() {
    accepted(TWO);
    let twice = edit(TWO, "end a=2", "end a=1");
    let twice = edit(&twice, "final a 2", "final a 1");
    rejected(
        Accounted,
        "an update was lost: 2 commits of `a` wrote 1",
        &twice,
    );
}

#[test]
fn a_reported_commit_missing_from_the_counter_is_rejected() {
    accepted(TWO);
    let lost = edit(TWO, "final a 2", "final a 1");
    rejected(
        Accounted,
        "a commit was lost: it wrote 2 to `a`, which is 1",
        &lost,
    );
    // The first commit writes 1.
    let zero = edit(TWO, "end a=1", "end a=0");
    let zero = edit(&zero, "end a=2", "end a=1");
    rejected(
        Accounted,
        "it wrote 0 to `a`",
        &edit(&zero, "final a 2", "final a 1"),
    );
    // An error with the claim `committed` reports a commit, too.
    let claimed = edit(TWO, "60 ok", "60 lost committed");
    let claimed = add(&claimed, "fault cut-one: 55");
    accepted(&claimed);
    rejected(
        Accounted,
        "a commit was lost",
        &edit(&claimed, "final a 2", "final a 1"),
    );
}

#[test]
fn a_number_without_a_reported_commit_is_rejected() {
    let more = edit(TWO, "final a 2", "final a 3");
    rejected(
        Accounted,
        "`a` had the value 3, whose commit no call reported",
        &more,
    );
    let skipped = edit(&more, "end a=2", "end a=3");
    rejected(
        Accounted,
        "`a` had the value 2, whose commit no call reported",
        &skipped,
    );
    // No call wrote to `b`.
    let unused = add(TWO, "run: 91 final b 0");
    accepted(&unused);
    let unused = edit(&unused, "final b 0", "final b 1");
    rejected(Accounted, "`b` had the value 1", &unused);
    // The call that wrote it reported a failure.
    let denied = edit(
        &more,
        "run: 90",
        "#3 w2.2 transaction a: 0 invoke; 70 acquired 7; 80 end a=3; 85 failed\n run: 90",
    );
    rejected(Accounted, "`a` had the value 3", &denied);
    accepted(&edit(&denied, "final a 3", "final a 2"));
}

#[test]
fn a_counter_without_a_final_value_is_rejected() {
    let unread = edit(TWO, "run: 90 final a 2", "");
    rejected(Accounted, "the final value of `a` was not read", &unread);
}

#[test]
fn an_unknown_commit_is_accepted_with_either_result() {
    let cut = add(TWO, "fault cut-one: 55");
    let unknown = edit(&cut, "60 ok", "60 commit-unknown unknown");
    accepted(&unknown);
    accepted(&edit(&unknown, "final a 2", "final a 1"));
    rejected(
        Accounted,
        "had the value 3",
        &edit(&unknown, "final a 2", "final a 3"),
    );
    // A statement of the body has failed: there was no COMMIT.
    let failed = edit(&cut, "60 ok", "60 body-database");
    rejected(Accounted, "had the value 2", &failed);
    accepted(&edit(&failed, "final a 2", "final a 1"));
    // Another call may have written the same number.
    let again = add(
        &unknown,
        "#3 w1.1 transaction a: 65 invoke; 70 acquired 5; 75 end a=2; 80 ok",
    );
    accepted(&again);
}

#[test]
fn the_commit_of_a_killed_process_is_accepted_with_either_result() {
    let killed = edit(TWO, "; 60 ok", "");
    let killed = add(
        &killed,
        "fault worker-kill worker=2: 55..56\n run: 56 worker 2 killed",
    );
    accepted(&killed);
    accepted(&edit(&killed, "final a 2", "final a 1"));
    let none = edit(&killed, "; 50 end a=2", "");
    rejected(Accounted, "had the value 2", &none);
}

const BOTH: &str = "
    #1 w1.1 all a+b: 0 invoke; 10 acquired 5; 20 end a=1+b=1; 30 commit-unknown unknown
    #2 w2.1 transaction b: 0 invoke; 40 acquired 6; 50 end b=2; 60 ok
    fault cut-one: 25
    run: 90 final a 1
    run: 91 final b 2
";

#[test]
fn a_transaction_in_one_of_its_two_counters_is_rejected() {
    accepted(BOTH);
    let none = edit(BOTH, "final a 1", "final a 0");
    let none = edit(&none, "end b=2", "end b=1");
    accepted(&edit(&none, "final b 2", "final b 1"));
    // It is in `b`, where no other call wrote 1, and is not in `a`.
    let torn = edit(BOTH, "final a 1", "final a 0");
    rejected(Accounted, "`b` had the value 1", &torn);
    // It is in `a`, and another call wrote its number to `b`.
    let torn = edit(BOTH, "end b=2", "end b=1");
    let torn = edit(&torn, "final b 2", "final b 1");
    rejected(Accounted, "`a` had the value 1", &torn);
    // A missing final value explains nothing, and is itself a violation.
    rejected(
        Accounted,
        "the final value of `b` was not read",
        &edit(BOTH, "run: 91 final b 2", ""),
    );
}

#[test]
fn an_unknown_commit_that_explains_one_counter_counts_in_all() {
    // Only #1 wrote 1 to `a`, so #1 also wrote 1 to `b`, and #2 cannot have written 1 to `c`.
    let scenario = "
        #1 w1.1 all a+b: 0 invoke; 10 acquired 5; 20 end a=1+b=1; 30 commit-unknown unknown
        #2 w2.1 all b+c: 0 invoke; 40 acquired 6; 50 end b=2+c=1; 60 commit-unknown unknown
        fault cut-all: 25..55
        run: 90 final a 1
        run: 91 final b 2
        run: 92 final c 1
    ";
    accepted(scenario);
    let twice = edit(scenario, "b=2+c=1", "b=1+c=1");
    let twice = edit(&twice, "final b 2", "final b 1");
    rejected(Accounted, "`c` had the value 1", &twice);
}

/// A body loses its lock before its COMMIT, and the library reports that.
const STOLEN: &str = "
    #1 w1.1 transaction a: 0 invoke; 10 acquired 5; 20 injected theft; 25 end a=1; \
        30 not-held rolled-back
    #2 w2.1 transaction a: 0 invoke; 22 acquired 6; 50 end a=1; 60 ok
    run: 90 final a 1
";

#[test]
fn a_commit_after_a_theft_is_rejected() {
    accepted(STOLEN);
    accepted(&edit(STOLEN, "theft", "swap"));
    let alone = edit(STOLEN, "50 end a=1; 60 ok", "50 end; 60 failed");
    rejected(Accounted, "`a` had the value 1", &alone);
    rejected(
        Accounted,
        "`a` had the value 1",
        &edit(&alone, "theft", "swap"),
    );
    accepted(&edit(&alone, "final a 1", "final a 0"));
    // The other connection of the swap had no transaction, so the outcome is unknown.
    let swapped = edit(&alone, "theft", "swap");
    let swapped = edit(&swapped, "not-held rolled-back", "database unknown");
    rejected(Accounted, "`a` had the value 1", &swapped);
    accepted(&edit(&swapped, "final a 1", "final a 0"));
    // The process was killed after the theft.
    let killed = edit(&alone, "; 30 not-held rolled-back", "");
    let killed = add(
        &killed,
        "fault worker-kill worker=1: 28..29\n run: 29 worker 1 killed",
    );
    rejected(Accounted, "`a` had the value 1", &killed);
    accepted(&edit(&killed, "final a 1", "final a 0"));
}

#[test]
fn an_outcome_that_contradicts_the_counter_is_rejected() {
    let cut = "
        #1 w1.1 transaction a: 0 invoke; 10 acquired 5; 20 end a=1; 30 commit-unknown unknown
        fault cut-after-commit: 0..25
        run: 90 final a 1
    ";
    accepted(cut);
    accepted(&edit(cut, "final a 1", "final a 0"));
    let rolled_back = edit(cut, "commit-unknown unknown", "database rolled-back");
    rejected(Accounted, "`a` had the value 1", &rolled_back);
    accepted(&edit(&rolled_back, "final a 1", "final a 0"));
    let committed = edit(cut, "commit-unknown unknown", "lost committed");
    accepted(&committed);
    rejected(
        Accounted,
        "a commit was lost",
        &edit(&committed, "final a 1", "final a 0"),
    );
}

/// The future of the second call was dropped after its body: the COMMIT may have been sent.
const CUT: &str = "
    #1 w1.1 transaction a: 0 invoke; 10 acquired 5; 20 end a=1; 30 ok
    #2 w1.1 transaction a: 40 invoke; 50 acquired 5; 60 end a=2; 65 cut
    #3 w1.2 transaction a: 70 invoke; 80 acquired 6; 90 end a=2; 99 ok
    run: 100 final a 2
";

#[test]
fn work_of_a_call_that_was_cut_may_be_committed_or_not() {
    accepted(CUT);
    let committed = edit(CUT, "90 end a=2", "90 end a=3");
    accepted(&edit(&committed, "final a 2", "final a 3"));
    // Not both.
    rejected(
        Accounted,
        "had the value 3, whose commit no call reported",
        &edit(CUT, "final a 2", "final a 3"),
    );
    // It was cut before the end of its body, so nothing of it can be committed.
    let in_body = edit(
        &edit(&committed, "final a 2", "final a 3"),
        "60 end a=2",
        "60 end",
    );
    rejected(
        Accounted,
        "had the value 2, whose commit no call reported",
        &in_body,
    );
    // A call that reports success is committed.
    let lost = edit(&edit(CUT, "65 cut", "65 ok"), "#2 w1.1", "#2 w1.3");
    rejected(Accounted, "an update was lost", &lost);
}
