//! (c) What was lost was reported, and what was reported had a cause.

use stress_check::rules::Rule::Reported;

use crate::story::{accepted, and, but, rejected};

/// A body from 10 to 20 on session 5, and room for what it is told.
const BODY: &str = "
    #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 30 ok
";

#[test]
fn a_session_that_was_killed_under_a_body_is_told() {
    for kind in ["kill-holder", "kill-waiter"] {
        let killed = and(BODY, &format!("fault {kind} session=5: 15"));
        rejected(Reported, "its session was ended under it", &killed);
        accepted(&but(&killed, "30 ok", "30 lost"));
        // Before it began, after it ended, or perhaps so.
        accepted(&but(&killed, ": 15", ": 9..15"));
        accepted(&but(&killed, ": 15", ": 15..20"));
        accepted(&but(&killed, ": 15", ": 25"));
        accepted(&but(&killed, ": 15", ": 15..never"));
        // Another session, or none.
        accepted(&but(&killed, "session=5", "session=6"));
        accepted(&but(&killed, ": 15", ": 15 missed"));
    }
    // A session lives on without its statement.
    accepted(&and(BODY, "fault interrupt-holder session=5: 15"));
}

#[test]
fn a_server_that_was_killed_under_a_body_is_told() {
    let killed = and(BODY, "fault server-kill: 15..16");
    rejected(Reported, "ended under it: server-kill", &killed);
    accepted(&but(&killed, "30 ok", "30 lost"));
    accepted(&but(&killed, "15..16", "15..21"));
    accepted(&but(&killed, "15..16", "25..26"));
    accepted(&but(&killed, "15..16", "5..12"));
}

#[test]
fn a_cut_under_a_body_is_told() {
    let cut = and(BODY, "fault cut-all: 15");
    rejected(Reported, "ended under it: cut-all", &cut);
    accepted(&but(&cut, "30 ok", "30 lost"));
    // It has not gone through the proxy.
    accepted(&but(&cut, "hold a", "hold a on plain-direct"));
    // Whom it hit is not known.
    accepted(&but(&cut, "cut-all", "cut-one"));
}

#[test]
fn numbers_of_sessions_start_over_with_the_server() {
    let killed = "
        #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 30 ok
        fault server-kill: 50..60
        #2 w1.1 hold a: 70 invoke; 80 granted 5; 90 end; 99 ok
        fault kill-holder session=5: 95
    ";
    accepted(killed);
    rejected(Reported, "ended under it", &but(killed, ": 95", ": 85"));
    rejected(Reported, "ended under it", &but(killed, ": 95", ": 15"));
    // Whose number it was nobody can tell.
    let meanwhile = but(killed, "20 end; 30 ok", "65 end; 66 lost");
    let meanwhile = but(&meanwhile, ": 95", ": 55");
    accepted(&meanwhile);
}

#[test]
fn a_theft_is_told() {
    let stolen = but(BODY, "20 end", "15 struck theft; 20 end");
    rejected(Reported, "had been released behind its back", &stolen);
    accepted(&but(&stolen, "30 ok", "30 disowned"));
}

#[test]
fn no_living_session_loses_its_lock() {
    let disowned = but(BODY, "30 ok", "30 disowned");
    rejected(Reported, "nobody had taken it", &disowned);
    // No fault does that: a dead session says nothing.
    let killed = and(&disowned, "fault kill-holder session=5: 15");
    rejected(Reported, "nobody had taken it", &killed);
    accepted(&but(&disowned, "20 end", "15 struck theft; 20 end"));
}

#[test]
fn errors_of_the_database_have_a_cause() {
    for word in ["lost", "database", "body-database", "interrupted"] {
        let story = but(BODY, "30 ok", &format!("30 {word}"));
        rejected(
            Reported,
            &format!("ended with `{word}`, and no fault"),
            &story,
        );
        for fault in [
            "kill-holder session=5",
            "kill-waiter session=5",
            "interrupt-holder session=5",
            "interrupt-waiter session=5",
            "storm session=5",
            "server-kill",
            "cut-one",
            "cut-all",
            "wait-timeout",
        ] {
            accepted(&and(&story, &format!("fault {fault}: 25")));
        }
        for fault in [
            // Those of others.
            "kill-holder session=6: 25",
            "storm session=6: 25",
            // Those that end nothing.
            "stall: 15..25",
            "delay: 15..25",
            "server-pause: 15..25",
            "worker-stop worker=1: 15..25",
            "worker-kill worker=2: 25",
            // One that struck nothing, and one that came later.
            "cut-one: 25 missed",
            "cut-one: 31",
        ] {
            let story = and(&story, &format!("fault {fault}"));
            rejected(Reported, "and no fault explains it", &story);
        }
        let direct = but(&story, "hold a", "hold a on plain-direct");
        for fault in ["cut-one", "cut-all"] {
            let story = and(&direct, &format!("fault {fault}: 25"));
            rejected(Reported, "and no fault explains it", &story);
        }
        accepted(&and(&direct, "fault server-kill: 25"));
    }
}

#[test]
fn who_had_no_session_yet_may_have_been_hit_as_any() {
    let story = "
        #1 w1.1 hold a: 0 invoke; 30 database
        fault kill-waiter session=5: 25
    ";
    accepted(story);
    accepted(&but(story, "database", "interrupted"));
    let later = but(story, ": 25", ": 31");
    rejected(Reported, "and no fault explains it", &later);
}

#[test]
fn a_fault_is_felt_until_the_connection_is_used_again() {
    // It was hit long ago, and its thread has not asked for anything on it since.
    let story = "
        #1 w1.1 hold a on pooled: 0 invoke; 10 granted 5; 20 end; 30 ok
        fault cut-one: 40
        #2 w1.1 hold a on plain: 1500 invoke; 1510 granted 6; 1520 end; 1530 ok
        #3 w1.1 hold a on pooled: 3000 invoke; 3030 database
    ";
    accepted(story);
    // Since then it was.
    let used = but(story, "on plain: 1500", "on pooled: 1500");
    rejected(Reported, "and no fault explains it", &used);
    // But a fault may be felt a second late.
    accepted(&but(&used, "cut-one: 40", "cut-one: 600"));
    // Another thread's use of the same pool is of another connection.
    let by_other = but(&used, "#2 w1.1", "#2 w1.2");
    accepted(&by_other);
}

#[test]
fn what_hits_the_inner_lock_hits_its_connection() {
    let story = "
        #1 w1.1 nested a: 1000 invoke; 1010 granted 5; 4000 end; 4010 failed
        #2 w1.1 nested/inner a: 3900 invoke; 3910 granted 5; 3920 end; 3930 lost
        fault kill-holder session=5: 1100
    ";
    accepted(story);
    let before = but(story, ": 1100", ": -1");
    accepted(&before);
    let story = but(
        story,
        "#1 w1.1 nested",
        "#3 w1.1 hold a: 50 invoke; 60 busy\n#1 w1.1 nested",
    );
    let story = but(&story, "hold a: 50", "hold a wait 0: 50");
    let before = but(&story, ": 1100", ": -1100");
    rejected(Reported, "ended with `lost`", &before);
}

#[test]
fn a_silent_session_may_have_been_ended() {
    let story = "
        fault wait-timeout: 0..100
        #2 w1.1 hold a: 1900 invoke; 1910 granted 5; 1920 end; 1930 ok
        #1 w1.1 hold a: 2000 invoke; 2010 granted 5; 2980 end; 2990 lost
    ";
    accepted(story);
    let soon = but(story, "2980 end; 2990", "2780 end; 2790");
    rejected(Reported, "ended with `lost`, and no fault", &soon);
    let later = but(story, "wait-timeout: 0..100", "wait-timeout: 2991..3000");
    rejected(Reported, "ended with `lost`, and no fault", &later);
    let never = but(story, "wait-timeout", "delay");
    rejected(Reported, "ended with `lost`, and no fault", &never);
}

#[test]
fn a_pool_gives_connections() {
    let story = "
        #1 w1.1 hold a on pooled: 0 invoke; 500 pool
    ";
    rejected(Reported, "ended with `pool`, and no fault", story);
    for fault in [
        "cut-one: 100",
        "kill-waiter session=5: 100",
        "storm session=5: 100",
        "stall: 100..200",
        "server-pause: 100..200",
        "server-start: 100..200",
        "worker-stop worker=1: 100..200",
    ] {
        accepted(&and(story, &format!("fault {fault}")));
    }
    for fault in [
        "worker-stop worker=2: 100..200",
        "worker-kill worker=2: 100",
        "stall: 501..600",
    ] {
        let story = and(story, &format!("fault {fault}"));
        rejected(Reported, "ended with `pool`, and no fault", &story);
    }
    for source in ["lock-pool", "fair-lock-pool"] {
        let story = but(story, "pooled", source);
        rejected(Reported, "ended with `pool`, and no fault", &story);
    }
    // There are not enough for all.
    accepted(&but(story, "pooled", "squeezed-direct"));
    accepted(&but(story, "pooled", "squeezed-lock-pool-direct"));
    // Who waits for less than it takes to open one; a wait of zero is for the lock alone.
    accepted(&but(story, "on pooled", "wait 499 on pooled"));
    for wait in ["500", "0"] {
        let story = but(story, "on pooled", &format!("wait {wait} on pooled"));
        rejected(Reported, "ended with `pool`, and no fault", &story);
    }
}

#[test]
fn some_things_must_not_be_said() {
    for word in ["gone", "other"] {
        let story = but(BODY, "30 ok", &format!("30 {word}"));
        let story = and(&story, "fault server-kill: 15");
        rejected(
            Reported,
            &format!("ended with `{word}`, and no fault"),
            &story,
        );
    }
}

#[test]
fn only_who_is_in_a_transaction_is_refused() {
    let story = "
        #1 w1.1 in_transaction a: 0 invoke; 10 open-transaction
    ";
    accepted(story);
    let other = but(story, "in_transaction", "transaction");
    rejected(Reported, "and nothing was open", &other);
    let granted = but(story, "10 open-transaction", "10 granted 5; 20 end; 30 ok");
    rejected(
        Reported,
        "ended with `ok`, and must never succeed",
        &granted,
    );
    accepted(&but(&granted, "in_transaction", "transaction"));
}

#[test]
fn only_who_left_something_open_is_told_so() {
    let story = "
        #1 w1.1 left_open a: 0 invoke; 10 granted 5; 20 end; 30 left-open
    ";
    accepted(story);
    let other = but(story, "left_open", "transaction");
    rejected(Reported, "and had left nothing open", &other);
    let granted = but(story, "30 left-open", "30 ok");
    rejected(
        Reported,
        "ended with `ok`, and must never succeed",
        &granted,
    );
    accepted(&but(&granted, "left_open", "transaction"));
}

/// A transaction whose lock was taken from it before its COMMIT, which the library found out; and the next one, to which
/// a `LockPool` would have handed the lock on.
const ROBBED: &str = "
    #1 w1.1 transaction a on lock-pool: 0 invoke; 10 granted 5; 15 struck theft; 20 end a=1; 30 disowned rolled-back
    #2 w1.2 transaction a on lock-pool: 5 invoke; 40 granted 6; 50 end a=1; 60 ok
    run: 90 final a 1
";

#[test]
fn a_stolen_transaction_that_commits_is_rejected() {
    accepted(ROBBED);
    // It commits, is handed on with its session, and both report success.
    let committed = but(ROBBED, "disowned rolled-back", "ok");
    let committed = but(
        &committed,
        "40 granted 6; 50 end a=1",
        "40 granted 5; 50 end a=2",
    );
    let committed = but(&committed, "final a 1", "final a 2");
    rejected(Reported, "had been released behind its back", &committed);
    rejected(
        Reported,
        "had been released behind its back",
        &but(&committed, "theft", "swap"),
    );
    // It finds out after the COMMIT.
    let late = but(&committed, "30 ok", "30 disowned committed");
    let late = but(&late, "40 granted 5", "40 granted 6");
    rejected(Reported, "went on to COMMIT", &late);
}

#[test]
fn a_stolen_transaction_does_not_reach_its_commit() {
    let cut = but(ROBBED, "disowned rolled-back", "commit-unknown unknown");
    let cut = and(&cut, "fault cut-all: 25");
    rejected(Reported, "went on to COMMIT", &cut);
    // Its session ended before the server could be asked.
    accepted(&but(&cut, "commit-unknown unknown", "lost rolled-back"));
}

#[test]
fn a_swapped_connection_is_reported() {
    let swapped = but(BODY, "20 end", "15 struck swap; 20 end");
    rejected(Reported, "had been released behind its back", &swapped);
    accepted(&but(&swapped, "30 ok", "30 disowned ran"));
    let unknown = but(&swapped, "30 ok", "30 database unknown");
    accepted(&unknown);
    rejected(
        Reported,
        "and no fault explains it",
        &but(&unknown, "struck swap", "struck leak"),
    );
}

#[test]
fn a_cut_at_commit_explains_that_it_is_unknown() {
    for kind in ["cut-before-commit", "cut-after-commit"] {
        let story = "
            #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 30 commit-unknown unknown
        ";
        rejected(Reported, "and no fault explains it", story);
        let cut = and(story, &format!("fault {kind}: 15..25"));
        accepted(&cut);
        let direct = but(&cut, "hold a", "hold a on plain-direct");
        rejected(Reported, "and no fault explains it", &direct);
    }
}

#[test]
fn an_error_does_not_contradict_the_body() {
    let failed = and(BODY, "fault cut-one: 15");
    for claim in ["rolled-back", "ran", "unknown"] {
        accepted(&but(&failed, "30 ok", &format!("30 lost {claim}")));
    }
    let nothing = but(&failed, "30 ok", "30 database nothing-happened");
    rejected(Reported, "says that nothing happened, but", &nothing);
    let refused = "
        #1 w1.1 hold a: 0 invoke; 30 timeout nothing-happened
    ";
    let refused = but(refused, "hold a", "hold a wait 30");
    accepted(&refused);
    for claim in ["rolled-back", "ran", "committed", "unknown"] {
        let ran = but(&refused, "nothing-happened", claim);
        rejected(Reported, "but its body did not run", &ran);
    }
    let transaction = "
        #1 w1.1 transaction a: 0 invoke; 10 granted 5; 15 struck theft; 20 end a=1; 30 disowned rolled-back
        run: 90 final a 0
    ";
    accepted(transaction);
    let vague = but(transaction, "rolled-back", "ran");
    rejected(Reported, "what became of its transaction", &vague);
}

#[test]
fn a_session_that_opens_transactions_by_itself_is_refused() {
    for setting in ["no-autocommit", "chain"] {
        let story = format!(
            "
            #1 w1.1 settings a: 0 invoke; 5 struck {setting}; 10 open-transaction nothing-happened
        "
        );
        accepted(&story);
        let other = but(&story, &format!("struck {setting}"), "struck leak");
        rejected(Reported, "and nothing was open", &other);
        let ran = but(
            &story,
            "10 open-transaction nothing-happened",
            "10 granted 5; 20 end; 30 ok",
        );
        rejected(Reported, "ended with `ok`, and must never succeed", &ran);
        let lost = but(&ran, "30 ok", "30 failed");
        rejected(Reported, "should have been refused", &lost);
    }
}

#[test]
fn a_transaction_by_a_setting_of_the_body_is_reported() {
    for setting in ["no-autocommit-in-body", "chain-in-body"] {
        let story = format!(
            "
            #1 w1.1 settings_in_body a: 0 invoke; 10 granted 5; 15 struck {setting}; 20 end; 30 left-open rolled-back
        "
        );
        accepted(&story);
        let granted = but(&story, "left-open rolled-back", "ok");
        rejected(Reported, "and must never succeed", &granted);
        // Within a transaction of the library, too: it is found before the COMMIT.
        let inside = but(&story, "settings_in_body", "settings_in_transaction");
        accepted(&inside);
        let granted = but(&inside, "left-open rolled-back", "ok");
        rejected(Reported, "and must never succeed", &granted);
    }
}

#[test]
fn a_misspelled_key_is_refused() {
    let story = "
        #1 w1.1 misspelled a: 0 invoke; 1 struck misspelled; 10 key-mismatch nothing-happened
    ";
    accepted(story);
    let spelled = but(story, "1 struck misspelled; ", "");
    rejected(Reported, "and its key was the row's", &spelled);
    let ran = but(
        story,
        "10 key-mismatch nothing-happened",
        "10 granted 5; 20 end; 30 ok",
    );
    rejected(Reported, "and must never succeed", &ran);
    let late = but(&ran, "30 ok", "30 key-mismatch nothing-happened");
    rejected(Reported, "should have been refused", &late);
    // It may fail as any other.
    let cut = but(story, "key-mismatch", "database");
    rejected(Reported, "and no fault explains it", &cut);
    accepted(&and(&cut, "fault cut-one: 5"));
}
