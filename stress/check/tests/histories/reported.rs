//! (c) Each loss is reported, and each error has a cause.

use stress_check::rules::Rule::{Accounted, Reported};

use crate::scenario::{accepted, add, edit, rejected};

/// A body from 10 to 20 on session 5, whose call returns at 30.
const BODY: &str = "
    #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 30 ok
";

#[test]
fn success_after_a_killed_session_is_rejected() {
    for kind in ["kill-holder", "kill-waiter"] {
        let killed = add(BODY, &format!("fault {kind} session=5: 15"));
        rejected(Reported, "its session had ended", &killed);
        accepted(&edit(&killed, "30 ok", "30 lost"));
        // Before the body began, after it ended, or possibly so.
        accepted(&edit(&killed, ": 15", ": 9..15"));
        accepted(&edit(&killed, ": 15", ": 15..20"));
        accepted(&edit(&killed, ": 15", ": 25"));
        accepted(&edit(&killed, ": 15", ": 15..never"));
        // It hit another session, or none.
        accepted(&edit(&killed, "session=5", "session=6"));
        accepted(&edit(&killed, ": 15", ": 15 missed"));
    }
    // An interrupted statement does not end the session.
    accepted(&add(BODY, "fault interrupt-holder session=5: 15"));
}

#[test]
fn success_after_a_killed_server_is_rejected() {
    let killed = add(BODY, "fault server-kill: 15..16");
    rejected(Reported, "its session had ended: server-kill", &killed);
    accepted(&edit(&killed, "30 ok", "30 lost"));
    accepted(&edit(&killed, "15..16", "15..21"));
    accepted(&edit(&killed, "15..16", "25..26"));
    accepted(&edit(&killed, "15..16", "5..12"));
}

#[test]
fn success_after_all_connections_were_cut_is_rejected() {
    let cut = add(BODY, "fault cut-all: 15");
    rejected(Reported, "its session had ended: cut-all", &cut);
    accepted(&edit(&cut, "30 ok", "30 lost"));
    // Its connection bypasses the proxy.
    accepted(&edit(&cut, "hold a", "hold a on plain-direct"));
    // It is not known which connection was cut.
    accepted(&edit(&cut, "cut-all", "cut-one"));
}

#[test]
fn a_session_number_reused_after_a_restart_is_distinguished() {
    let killed = "
        #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 30 ok
        fault server-kill: 50..60
        #2 w1.1 hold a: 70 invoke; 80 acquired 5; 90 end; 99 ok
        fault kill-holder session=5: 95
    ";
    accepted(killed);
    rejected(
        Reported,
        "its session had ended",
        &edit(killed, ": 95", ": 85"),
    );
    rejected(
        Reported,
        "its session had ended",
        &edit(killed, ": 95", ": 15"),
    );
    // The number may be of a session before or after the restart.
    let meanwhile = edit(killed, "20 end; 30 ok", "65 end; 66 lost");
    let meanwhile = edit(&meanwhile, ": 95", ": 55");
    accepted(&meanwhile);
}

#[test]
fn success_after_a_theft_is_rejected() {
    let stolen = edit(BODY, "20 end", "15 injected theft; 20 end");
    rejected(Reported, "but its body had lost the lock", &stolen);
    accepted(&edit(&stolen, "30 ok", "30 not-held"));
}

#[test]
fn not_held_without_a_theft_is_rejected() {
    let not_held = edit(BODY, "30 ok", "30 not-held");
    rejected(
        Reported,
        "its worker had not taken the lock away",
        &not_held,
    );
    // A killed session does not answer that it does not hold the lock.
    let killed = add(&not_held, "fault kill-holder session=5: 15");
    rejected(Reported, "its worker had not taken the lock away", &killed);
    accepted(&edit(&not_held, "20 end", "15 injected theft; 20 end"));
}

#[test]
fn a_theft_without_effect_must_not_be_reported() {
    let vain = edit(
        BODY,
        "20 end",
        "15 injected theft; 16 injected vain-theft; 20 end",
    );
    accepted(&vain);
    let message = "its worker had not taken the lock away";
    rejected(Reported, message, &edit(&vain, "30 ok", "30 not-held"));
    // The second one has ended the transaction.
    let stolen = edit(&vain, "20 end", "17 injected theft; 20 end");
    rejected(Reported, "but its body had lost the lock", &stolen);
    accepted(&edit(&stolen, "30 ok", "30 not-held"));
}

#[test]
fn discarded_session_is_lost_and_a_reset_one_may_be() {
    let discarded = edit(BODY, "20 end", "15 injected discard-all; 20 end");
    rejected(Reported, "but its body had lost the lock", &discarded);
    accepted(&edit(&discarded, "30 ok", "30 not-held"));
    accepted(&edit(&discarded, "30 ok", "30 lost"));
    let reset = edit(BODY, "20 end", "15 injected reset-all; 20 end");
    accepted(&reset);
    accepted(&edit(&reset, "30 ok", "30 not-held"));
    let lost = edit(&reset, "30 ok", "30 lost");
    rejected(Reported, "returned `lost`, but no fault", &lost);
}

#[test]
fn lock_until_commit_is_refused_above_read_committed_only() {
    let refused = "
        #1 w1.1 until_commit.set a on repeatable-read-plain: 0 invoke; 5 isolation-level
    ";
    accepted(refused);
    let without = edit(refused, " on repeatable-read-plain", "");
    rejected(Reported, "was not above READ COMMITTED", &without);
    let other = edit(refused, "until_commit.set", "transaction");
    rejected(Reported, "was not above READ COMMITTED", &other);
    let acquired = edit(refused, "5 isolation-level", "5 acquired 5; 10 end; 15 ok");
    rejected(Reported, "was above READ COMMITTED", &acquired);
    accepted(&edit(&acquired, " on repeatable-read-plain", ""));
}

#[test]
fn exclusive_lock_under_a_shared_one_is_refused() {
    let refused = "
        #1 w1.1 shared.upgrade a: 0 invoke; 5 acquired 5; 20 end; 25 ok
        #2 w1.1 upgrade a: 10 invoke; 15 shared-held
    ";
    accepted(refused);
    let acquired = edit(refused, "15 shared-held", "12 acquired 5; 13 end; 15 ok");
    rejected(Reported, "it must not succeed", &acquired);
    let other = edit(refused, "w1.1 upgrade", "w1.1 nested/inner");
    rejected(Reported, "did not hold the lock shared", &other);
}

#[test]
fn serialization_errors_need_no_fault_at_serializable_alone() {
    for word in ["database", "body-database"] {
        let failed = edit(BODY, "30 ok", &format!("30 {word}"));
        let message = format!("returned `{word}`, but no fault");
        rejected(Reported, &message, &failed);
        let name = failed.split(": ").next().expect("a line").to_owned();
        let on = |source: &str| failed.replacen(&name, &format!("{name} on {source}"), 1);
        rejected(Reported, &message, &on("repeatable-read-plain"));
        accepted(&on("serializable-plain"));
    }
}

#[test]
fn a_database_error_without_a_fault_is_rejected() {
    for word in ["lost", "database", "body-database", "interrupted"] {
        let scenario = edit(BODY, "30 ok", &format!("30 {word}"));
        rejected(
            Reported,
            &format!("returned `{word}`, but no fault"),
            &scenario,
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
            accepted(&add(&scenario, &format!("fault {fault}: 25")));
        }
        for fault in [
            // Faults of other sessions.
            "kill-holder session=6: 25",
            "storm session=6: 25",
            // Faults that end neither a session nor a statement.
            "stall: 15..25",
            "delay: 15..25",
            "server-pause: 15..25",
            "worker-stop worker=1: 15..25",
            "worker-kill worker=2: 25",
            // A fault that hit nothing, and one that came later.
            "cut-one: 25 missed",
            "cut-one: 31",
        ] {
            let scenario = add(&scenario, &format!("fault {fault}"));
            rejected(Reported, "but no fault explains it", &scenario);
        }
        let direct = edit(&scenario, "hold a", "hold a on plain-direct");
        for fault in ["cut-one", "cut-all"] {
            let scenario = add(&direct, &format!("fault {fault}: 25"));
            rejected(Reported, "but no fault explains it", &scenario);
        }
        accepted(&add(&direct, "fault server-kill: 25"));
    }
}

#[test]
fn an_error_before_the_session_is_known_is_explained_by_any_kill() {
    let scenario = "
        #1 w1.1 hold a: 0 invoke; 30 database
        fault kill-waiter session=5: 25
    ";
    accepted(scenario);
    accepted(&edit(scenario, "database", "interrupted"));
    let later = edit(scenario, ": 25", ": 31");
    rejected(Reported, "but no fault explains it", &later);
}

#[test]
fn a_fault_explains_an_error_on_the_next_use_of_the_connection() {
    // The cut was long ago, and the thread has not used the pool since.
    let scenario = "
        #1 w1.1 hold a on pooled: 0 invoke; 10 acquired 5; 20 end; 30 ok
        fault cut-one: 40
        #2 w1.1 hold a on plain: 1500 invoke; 1510 acquired 6; 1520 end; 1530 ok
        #3 w1.1 hold a on pooled: 3000 invoke; 3030 database
    ";
    accepted(scenario);
    // The thread has used the pool since.
    let used = edit(scenario, "on plain: 1500", "on pooled: 1500");
    rejected(Reported, "but no fault explains it", &used);
    // A fault may affect calls for a second after its end.
    accepted(&edit(&used, "cut-one: 40", "cut-one: 600"));
    // Another thread used another connection of the pool.
    let by_other = edit(&used, "#2 w1.1", "#2 w1.2");
    accepted(&by_other);
}

#[test]
fn a_fault_in_the_outer_call_explains_an_error_of_the_inner_call() {
    let scenario = "
        #1 w1.1 nested a: 1000 invoke; 1010 acquired 5; 4000 end; 4010 failed
        #2 w1.1 nested/inner a: 3900 invoke; 3910 acquired 5; 3920 end; 3930 lost
        fault kill-holder session=5: 1100
    ";
    accepted(scenario);
    let before = edit(scenario, ": 1100", ": -1");
    accepted(&before);
    let scenario = edit(
        scenario,
        "#1 w1.1 nested",
        "#3 w1.1 hold a: 50 invoke; 60 contended\n#1 w1.1 nested",
    );
    let scenario = edit(&scenario, "hold a: 50", "hold a wait 0: 50");
    let before = edit(&scenario, ": 1100", ": -1100");
    rejected(Reported, "returned `lost`", &before);
}

#[test]
fn a_loss_after_idling_is_explained_by_a_short_wait_timeout() {
    let scenario = "
        fault wait-timeout: 0..100
        #2 w1.1 hold a: 1900 invoke; 1910 acquired 5; 1920 end; 1930 ok
        #1 w1.1 hold a: 2000 invoke; 2010 acquired 5; 2980 end; 2990 lost
    ";
    accepted(scenario);
    let soon = edit(scenario, "2980 end; 2990", "2780 end; 2790");
    rejected(Reported, "returned `lost`, but no fault", &soon);
    let later = edit(scenario, "wait-timeout: 0..100", "wait-timeout: 2991..3000");
    rejected(Reported, "returned `lost`, but no fault", &later);
    let never = edit(scenario, "wait-timeout", "delay");
    rejected(Reported, "returned `lost`, but no fault", &never);
}

#[test]
fn a_pool_error_without_a_fault_is_rejected() {
    let scenario = "
        #1 w1.1 hold a on pooled: 0 invoke; 500 pool
    ";
    rejected(Reported, "returned `pool`, but no fault", scenario);
    for fault in [
        "cut-one: 100",
        "kill-waiter session=5: 100",
        "storm session=5: 100",
        "stall: 100..200",
        "server-pause: 100..200",
        "server-start: 100..200",
        "worker-stop worker=1: 100..200",
    ] {
        accepted(&add(scenario, &format!("fault {fault}")));
    }
    for fault in [
        "worker-stop worker=2: 100..200",
        "worker-kill worker=2: 100",
        "stall: 501..600",
    ] {
        let scenario = add(scenario, &format!("fault {fault}"));
        rejected(Reported, "returned `pool`, but no fault", &scenario);
    }
    for source in ["lock-pool", "fair-lock-pool"] {
        let scenario = edit(scenario, "pooled", source);
        rejected(Reported, "returned `pool`, but no fault", &scenario);
    }
    // These pools have fewer connections than the process has threads.
    accepted(&edit(scenario, "pooled", "undersized-direct"));
    accepted(&edit(scenario, "pooled", "undersized-lock-pool-direct"));
    // A shorter timeout than a new connection may take. A timeout of 0 is for the lock alone.
    accepted(&edit(scenario, "on pooled", "wait 499 on pooled"));
    for wait in ["500", "0"] {
        let scenario = edit(scenario, "on pooled", &format!("wait {wait} on pooled"));
        rejected(Reported, "returned `pool`, but no fault", &scenario);
    }
}

#[test]
fn an_outcome_that_no_fault_explains_is_rejected() {
    for word in ["row-not-found", "other"] {
        let scenario = edit(BODY, "30 ok", &format!("30 {word}"));
        let scenario = add(&scenario, "fault server-kill: 15");
        rejected(
            Reported,
            &format!("returned `{word}`, but no fault"),
            &scenario,
        );
    }
}

#[test]
fn a_refusal_without_an_open_transaction_is_rejected() {
    let scenario = "
        #1 w1.1 in_transaction a: 0 invoke; 10 open-transaction
    ";
    accepted(scenario);
    let other = edit(scenario, "in_transaction", "transaction");
    rejected(Reported, "no transaction was open", &other);
    let acquired = edit(
        scenario,
        "10 open-transaction",
        "10 acquired 5; 20 end; 30 ok",
    );
    rejected(
        Reported,
        "returned `ok`, but it must not succeed",
        &acquired,
    );
    accepted(&edit(&acquired, "in_transaction", "transaction"));
}

#[test]
fn left_open_without_an_open_transaction_is_rejected() {
    let scenario = "
        #1 w1.1 left_open a: 0 invoke; 10 acquired 5; 20 end; 30 left-open
    ";
    accepted(scenario);
    let other = edit(scenario, "left_open", "transaction");
    rejected(Reported, "its body left no transaction open", &other);
    let acquired = edit(scenario, "30 left-open", "30 ok");
    rejected(
        Reported,
        "returned `ok`, but it must not succeed",
        &acquired,
    );
    accepted(&edit(&acquired, "left_open", "transaction"));
}

#[test]
fn loss_under_a_reentrant_call_is_reported_by_the_outer_one() {
    let lost = "
        #1 w1.1 nested a: 0 invoke; 10 acquired 5; 40 end; 50 commit-unknown unknown
        #2 w1.1 nested/inner a: 15 invoke; 20 acquired 5; 30 end; 35 ok
        fault kill-holder session=5: 22..24
    ";
    accepted(lost);
    let other = "#3 w2.1 hold a: 5 invoke; 26 acquired 6; 28 end; 29 ok";
    accepted(&add(lost, other));
    let unreported = edit(lost, "commit-unknown unknown", "ok");
    rejected(Reported, "its session had ended", &unreported);
}

#[test]
fn stolen_transaction_may_be_unknown_on_postgres_alone() {
    let unknown = edit(STOLEN, "not-held rolled-back", "commit-unknown unknown");
    let unknown = add(&unknown, "fault cut-all: 25");
    rejected(Reported, "reached its COMMIT", &unknown);
    accepted(&add(&unknown, "run: 0 run server postgres 15.18"));
    // It has not committed all the same.
    let committed = edit(&unknown, "50 end a=1", "50 end a=2");
    let committed = edit(&committed, "final a 1", "final a 2");
    let committed = add(&committed, "run: 0 run server postgres 15.18");
    rejected(Accounted, "whose commit no call reported", &committed);
}

/// A transaction loses its lock before its COMMIT, and the library reports that. The next call is
/// the one to which the `LockPool` would have handed off the lock.
const STOLEN: &str = "
    #1 w1.1 transaction a on lock-pool: 0 invoke; 10 acquired 5; 15 injected theft; \
        20 end a=1; 30 not-held rolled-back
    #2 w1.2 transaction a on lock-pool: 5 invoke; 40 acquired 6; 50 end a=1; 60 ok
    run: 90 final a 1
";

#[test]
fn a_stolen_transaction_that_commits_is_rejected() {
    accepted(STOLEN);
    // It commits, its session is handed off, and both calls report success.
    let committed = edit(STOLEN, "not-held rolled-back", "ok");
    let committed = edit(
        &committed,
        "40 acquired 6; 50 end a=1",
        "40 acquired 5; 50 end a=2",
    );
    let committed = edit(&committed, "final a 1", "final a 2");
    rejected(Reported, "but its body had lost the lock", &committed);
    rejected(
        Reported,
        "but its body had lost the lock",
        &edit(&committed, "theft", "swap"),
    );
    // It reports the loss after the COMMIT.
    let late = edit(&committed, "30 ok", "30 not-held committed");
    let late = edit(&late, "40 acquired 5", "40 acquired 6");
    rejected(Reported, "reached its COMMIT", &late);
}

#[test]
fn a_stolen_transaction_that_reaches_its_commit_is_rejected() {
    let cut = edit(STOLEN, "not-held rolled-back", "commit-unknown unknown");
    let cut = add(&cut, "fault cut-all: 25");
    rejected(Reported, "reached its COMMIT", &cut);
    // Its session ended before the server could be asked.
    accepted(&edit(&cut, "commit-unknown unknown", "lost rolled-back"));
}

#[test]
fn success_after_a_swap_is_rejected() {
    let swapped = edit(BODY, "20 end", "15 injected swap; 20 end");
    rejected(Reported, "but its body had lost the lock", &swapped);
    accepted(&edit(&swapped, "30 ok", "30 not-held ran"));
    let unknown = edit(&swapped, "30 ok", "30 database unknown");
    accepted(&unknown);
    rejected(
        Reported,
        "but no fault explains it",
        &edit(&unknown, "injected swap", "injected leak"),
    );
}

#[test]
fn an_unknown_commit_is_explained_by_a_cut_at_commit() {
    for kind in ["cut-before-commit", "cut-after-commit"] {
        let scenario = "
            #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 30 commit-unknown unknown
        ";
        rejected(Reported, "but no fault explains it", scenario);
        let cut = add(scenario, &format!("fault {kind}: 15..25"));
        accepted(&cut);
        let direct = edit(&cut, "hold a", "hold a on plain-direct");
        rejected(Reported, "but no fault explains it", &direct);
    }
}

#[test]
fn a_claim_that_contradicts_the_body_is_rejected() {
    let failed = add(BODY, "fault cut-one: 15");
    for claim in ["rolled-back", "ran", "unknown"] {
        accepted(&edit(&failed, "30 ok", &format!("30 lost {claim}")));
    }
    let nothing = edit(&failed, "30 ok", "30 database nothing-happened");
    rejected(Reported, "claims that nothing happened, but", &nothing);
    let refused = "
        #1 w1.1 hold a: 0 invoke; 30 timeout nothing-happened
    ";
    let refused = edit(refused, "hold a", "hold a wait 30");
    accepted(&refused);
    for claim in ["rolled-back", "ran", "committed", "unknown"] {
        let ran = edit(&refused, "nothing-happened", claim);
        rejected(Reported, "claims that its body ran, but it did not", &ran);
    }
    let transaction = "
        #1 w1.1 transaction a: 0 invoke; 10 acquired 5; 15 injected theft; 20 end a=1; \
            30 not-held rolled-back
        run: 90 final a 0
    ";
    accepted(transaction);
    let vague = edit(transaction, "rolled-back", "ran");
    rejected(
        Reported,
        "does not claim what became of its transaction",
        &vague,
    );
}

#[test]
fn a_call_in_a_session_with_a_transaction_setting_must_be_refused() {
    for setting in ["no-autocommit", "chain"] {
        let scenario = format!(
            "
            #1 w1.1 settings a: 0 invoke; 5 injected {setting}; 10 open-transaction nothing-happened
        "
        );
        accepted(&scenario);
        let other = edit(&scenario, &format!("injected {setting}"), "injected leak");
        rejected(Reported, "no transaction was open", &other);
        let ran = edit(
            &scenario,
            "10 open-transaction nothing-happened",
            "10 acquired 5; 20 end; 30 ok",
        );
        rejected(Reported, "returned `ok`, but it must not succeed", &ran);
        let lost = edit(&ran, "30 ok", "30 failed");
        rejected(Reported, "should have been refused", &lost);
    }
}

#[test]
fn success_after_a_body_opened_a_transaction_by_a_setting_is_rejected() {
    for setting in ["no-autocommit-in-body", "chain-in-body"] {
        let scenario = format!(
            "
            #1 w1.1 settings_in_body a: 0 invoke; 10 acquired 5; 15 injected {setting}; \
                20 end; 30 left-open rolled-back
        "
        );
        accepted(&scenario);
        let acquired = edit(&scenario, "left-open rolled-back", "ok");
        rejected(Reported, "it must not succeed", &acquired);
        // The same holds in a transaction form, before the COMMIT.
        let inside = edit(&scenario, "settings_in_body", "settings_in_transaction");
        accepted(&inside);
        let acquired = edit(&inside, "left-open rolled-back", "ok");
        rejected(Reported, "it must not succeed", &acquired);
    }
}

#[test]
fn a_call_with_a_misspelled_key_must_be_refused() {
    let scenario = "
        #1 w1.1 misspelled a: 0 invoke; 1 injected misspelled; 10 key-mismatch nothing-happened
    ";
    accepted(scenario);
    let spelled = edit(scenario, "1 injected misspelled; ", "");
    rejected(Reported, "its key was the row's", &spelled);
    let ran = edit(
        scenario,
        "10 key-mismatch nothing-happened",
        "10 acquired 5; 20 end; 30 ok",
    );
    rejected(Reported, "it must not succeed", &ran);
    let late = edit(&ran, "30 ok", "30 key-mismatch nothing-happened");
    rejected(Reported, "should have been refused", &late);
    // It may fail like any other call.
    let cut = edit(scenario, "key-mismatch", "database");
    rejected(Reported, "but no fault explains it", &cut);
    accepted(&add(&cut, "fault cut-one: 5"));
}

#[test]
fn the_answer_to_another_statement_is_rejected() {
    let wrong = "
        #1 w1.1 hold a on bb8: 0 invoke; 10 acquired 5; 20 end; 20 cut
        #2 w1.2 hold b on bb8: 35 invoke; 36 body-database
        fault cut-one: 34
    ";
    accepted(wrong);
    let wrong = edit(wrong, "body-database", "wrong-answer");
    rejected(Reported, "the answer to another one", &wrong);
}

#[test]
fn a_call_that_is_cut_needs_no_fault() {
    accepted("#1 w1.1 hold a: 0 invoke; 20 cut");
    accepted("#1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 20 cut");
    // The next call on the same connection has no excuse.
    let next = "
        #1 w1.1 hold a: 0 invoke; 20 cut
        #2 w1.1 hold a: 30 invoke; 40 database nothing-happened
    ";
    rejected(Reported, "no fault explains it", next);
}

#[test]
fn an_error_while_the_runtime_is_shut_down_has_a_cause() {
    for word in ["commit-unknown", "body-database", "pool"] {
        let failed = edit(BODY, "30 ok", &format!("30 {word}"));
        rejected(Reported, "no fault explains it", &failed);
        accepted(&edit(
            &failed,
            "20 end",
            "15 injected runtime-shutdown; 20 end",
        ));
    }
}

#[test]
fn a_failed_statement_beside_a_swapped_connection_has_a_cause() {
    let swapped = "
        #1 w1.1 set a+b: 0 invoke; 10 acquired 5; 15 injected swap; 20 end; 30 body-database
        #2 w2.1 set b+c: 0 invoke; 18 acquired 6; 40 end; 50 body-database
    ";
    accepted(swapped);
    rejected(
        Reported,
        "no fault explains it",
        &edit(swapped, "15 injected swap; ", ""),
    );
    // It has no row in common, had ended before, or began afterwards.
    for (from, to) in [
        ("w2.1 set b+c", "w2.1 set c+d"),
        ("18 acquired 6; 40 end; 50", "10 acquired 6; 12 end; 13"),
        ("18 acquired", "31 acquired"),
    ] {
        rejected(Reported, "call 2 of worker 2", &edit(swapped, from, to));
    }
}
