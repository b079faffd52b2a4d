//! (b)

use stress_check::rules::Rule::Accounted;

use crate::story::{accepted, and, but, rejected};

const TWO: &str = "
    #1 w1.1 transaction a: 0 invoke; 10 granted 5; 20 end a=1; 30 ok
    #2 w2.1 transaction a: 0 invoke; 40 granted 6; 50 end a=2; 60 ok
    run: 90 final a 2
";

#[test]
fn each_commit_writes_another_number() {
    accepted(TWO);
    let twice = but(TWO, "end a=2", "end a=1");
    let twice = but(&twice, "final a 2", "final a 1");
    rejected(
        Accounted,
        "2 commits of `a` wrote 1: an update was lost",
        &twice,
    );
}

#[test]
fn a_reported_commit_is_in_the_counter() {
    accepted(TWO);
    let lost = but(TWO, "final a 2", "final a 1");
    rejected(Accounted, "wrote 2, but 1 is in it: it was lost", &lost);
    // Nobody counts to 0.
    let zero = but(TWO, "end a=1", "end a=0");
    let zero = but(&zero, "end a=2", "end a=1");
    rejected(Accounted, "wrote 0", &but(&zero, "final a 2", "final a 1"));
    // An error that says so reports a commit, too.
    let told = but(TWO, "60 ok", "60 lost committed");
    let told = and(&told, "fault cut-one: 55");
    accepted(&told);
    rejected(
        Accounted,
        "it was lost",
        &but(&told, "final a 2", "final a 1"),
    );
}

#[test]
fn each_number_was_reported() {
    let more = but(TWO, "final a 2", "final a 3");
    rejected(
        Accounted,
        "`a` went through 3, which no operation reports",
        &more,
    );
    let skipped = but(&more, "end a=2", "end a=3");
    rejected(
        Accounted,
        "`a` went through 2, which no operation reports",
        &skipped,
    );
    // What nobody wrote at all.
    let nobody = and(TWO, "run: 91 final b 0");
    accepted(&nobody);
    let nobody = but(&nobody, "final b 0", "final b 1");
    rejected(Accounted, "`b` went through 1", &nobody);
    // Told that it did not happen.
    let denied = but(
        &more,
        "run: 90",
        "#3 w2.2 transaction a: 0 invoke; 70 granted 7; 80 end a=3; 85 failed\n run: 90",
    );
    rejected(Accounted, "`a` went through 3", &denied);
    accepted(&but(&denied, "final a 3", "final a 2"));
}

#[test]
fn a_counter_is_looked_at() {
    let unread = but(TWO, "run: 90 final a 2", "");
    rejected(Accounted, "nobody has looked what is in `a`", &unread);
}

#[test]
fn an_unknown_commit_may_have_happened_or_not() {
    let told = and(TWO, "fault cut-one: 55");
    let unknown = but(&told, "60 ok", "60 commit-unknown unknown");
    accepted(&unknown);
    accepted(&but(&unknown, "final a 2", "final a 1"));
    rejected(
        Accounted,
        "went through 3",
        &but(&unknown, "final a 2", "final a 3"),
    );
    // A statement of the body has failed: there was no COMMIT.
    let failed = but(&told, "60 ok", "60 body-database");
    rejected(Accounted, "went through 2", &failed);
    accepted(&but(&failed, "final a 2", "final a 1"));
    // Its number may be another's then.
    let again = and(
        &unknown,
        "#3 w1.1 transaction a: 65 invoke; 70 granted 5; 75 end a=2; 80 ok",
    );
    accepted(&again);
}

#[test]
fn a_killed_process_may_have_committed_or_not() {
    let killed = but(TWO, "; 60 ok", "");
    let killed = and(
        &killed,
        "fault worker-kill worker=2: 55..56\n run: 56 worker 2 killed",
    );
    accepted(&killed);
    accepted(&but(&killed, "final a 2", "final a 1"));
    let none = but(&killed, "; 50 end a=2", "");
    rejected(Accounted, "went through 2", &none);
}

const BOTH: &str = "
    #1 w1.1 all a+b: 0 invoke; 10 granted 5; 20 end a=1+b=1; 30 commit-unknown unknown
    #2 w2.1 transaction b: 0 invoke; 40 granted 6; 50 end b=2; 60 ok
    fault cut-one: 25
    run: 90 final a 1
    run: 91 final b 2
";

#[test]
fn a_transaction_is_in_all_of_its_counters_or_in_none() {
    accepted(BOTH);
    let none = but(BOTH, "final a 1", "final a 0");
    let none = but(&none, "end b=2", "end b=1");
    accepted(&but(&none, "final b 2", "final b 1"));
    // It is in `b`, where nobody else wrote 1, and is not in `a`.
    let torn = but(BOTH, "final a 1", "final a 0");
    rejected(Accounted, "`b` went through 1", &torn);
    // It is in `a`, and what it wrote to `b` was written by another.
    let torn = but(BOTH, "end b=2", "end b=1");
    let torn = but(&torn, "final b 2", "final b 1");
    rejected(Accounted, "`a` went through 1", &torn);
    // A counter that nobody has looked at settles nothing; that is another violation.
    rejected(
        Accounted,
        "nobody has looked what is in `b`",
        &but(BOTH, "run: 91 final b 2", ""),
    );
}

#[test]
fn what_one_counter_settles_is_settled_for_all() {
    // 1 in `a` is by #1 alone, which then has written 1 in `b` too: 1 in `c` cannot be by #2.
    let story = "
        #1 w1.1 all a+b: 0 invoke; 10 granted 5; 20 end a=1+b=1; 30 commit-unknown unknown
        #2 w2.1 all b+c: 0 invoke; 40 granted 6; 50 end b=2+c=1; 60 commit-unknown unknown
        fault cut-all: 25..55
        run: 90 final a 1
        run: 91 final b 2
        run: 92 final c 1
    ";
    accepted(story);
    let twice = but(story, "b=2+c=1", "b=1+c=1");
    let twice = but(&twice, "final b 2", "final b 1");
    rejected(Accounted, "`c` went through 1", &twice);
}

/// A body whose lock was taken from it before its COMMIT, which the library found out.
const ROBBED: &str = "
    #1 w1.1 transaction a: 0 invoke; 10 granted 5; 20 struck theft; 25 end a=1; 30 disowned rolled-back
    #2 w2.1 transaction a: 0 invoke; 22 granted 6; 50 end a=1; 60 ok
    run: 90 final a 1
";

#[test]
fn a_transaction_that_lost_its_lock_is_not_committed() {
    accepted(ROBBED);
    accepted(&but(ROBBED, "theft", "swap"));
    let alone = but(ROBBED, "50 end a=1; 60 ok", "50 end; 60 failed");
    rejected(Accounted, "`a` went through 1", &alone);
    rejected(
        Accounted,
        "`a` went through 1",
        &but(&alone, "theft", "swap"),
    );
    accepted(&but(&alone, "final a 1", "final a 0"));
    // The connection that took the other's place had no transaction, so the library cannot tell.
    let swapped = but(&alone, "theft", "swap");
    let swapped = but(&swapped, "disowned rolled-back", "database unknown");
    rejected(Accounted, "`a` went through 1", &swapped);
    accepted(&but(&swapped, "final a 1", "final a 0"));
    // The process was killed after the theft.
    let killed = but(&alone, "; 30 disowned rolled-back", "");
    let killed = and(
        &killed,
        "fault worker-kill worker=1: 28..29\n run: 29 worker 1 killed",
    );
    rejected(Accounted, "`a` went through 1", &killed);
    accepted(&but(&killed, "final a 1", "final a 0"));
}

#[test]
fn an_error_says_what_became_of_the_work() {
    let cut = "
        #1 w1.1 transaction a: 0 invoke; 10 granted 5; 20 end a=1; 30 commit-unknown unknown
        fault cut-after-commit: 0..25
        run: 90 final a 1
    ";
    accepted(cut);
    accepted(&but(cut, "final a 1", "final a 0"));
    let rolled_back = but(cut, "commit-unknown unknown", "database rolled-back");
    rejected(Accounted, "`a` went through 1", &rolled_back);
    accepted(&but(&rolled_back, "final a 1", "final a 0"));
    let committed = but(cut, "commit-unknown unknown", "lost committed");
    accepted(&committed);
    rejected(
        Accounted,
        "it was lost",
        &but(&committed, "final a 1", "final a 0"),
    );
}
