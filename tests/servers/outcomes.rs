//! What an error says about the work, compared with the work, when the connection is cut at each step.

use std::cell::Cell;

use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use test_server::Proxy;

use crate::support::{Clients, Db, Form, Work};

cases![
    a_cut_before_the_closure_is_nothing_happened,
    a_cut_before_the_commit_is_rolled_back_or_unknown,
    a_cut_after_the_commit_is_unknown_or_no_error,
    a_cut_before_the_release_of_a_run_is_ran,
];

const GET_LOCK: &str = "GET_LOCK";
const BEGIN: &str = "BEGIN";
const RELOAD: &str = "FROM `counters`";
const PROOF: &str = "CASE WHEN NOT (IS_USED_LOCK";
const COMMIT: &str = "COMMIT";
const RELEASE: &str = "RELEASE_LOCK";

/// Cuts the connection, compares what the caller learns with what has happened, and returns what it learns.
fn cut(db: &Db, call: (Form, Work), cut: impl FnOnce(&Proxy)) -> Option<Outcome> {
    let (proxy, url) = db.proxy();
    let clients = &mut Clients::new(&url);
    let before = db.value(1);
    cut(&proxy);
    let ran = Cell::new(false);
    let result = clients.call(call, |counter, conn| {
        ran.set(true);
        counter.add_one(conn).map(drop)
    });
    assert!(!proxy.is_to_cut(), "{call:?}: the step did not come");
    // The session has ended, and so has its transaction.
    db.until_free(&format!("{call:?}"));
    let is_written = db.value(1) > before;
    let Err(error) = result else {
        assert!(is_written, "{call:?}");
        return None;
    };
    let error = LockError::try_from(error).unwrap();
    let outcome = error.outcome();
    let is_so = match outcome {
        Outcome::NothingHappened => !ran.get() && !is_written,
        Outcome::RolledBack => ran.get() && !is_written,
        Outcome::Ran | Outcome::Committed => ran.get() && is_written,
        Outcome::Unknown => ran.get(),
        _ => false,
    };
    let truth = (ran.get(), is_written);
    assert!(is_so, "{call:?}: {truth:?} is reported as {error:?}");
    assert!(
        !error.is_retryable() || !is_written,
        "{call:?}: {error:?} is retried"
    );
    Some(outcome)
}

fn a_cut_before_the_closure_is_nothing_happened(db: &Db) {
    db.counter(1);
    for call in Form::all() {
        for step in [GET_LOCK, BEGIN, RELOAD] {
            if step == BEGIN && call.1 == Work::Run {
                continue;
            }
            let outcome = cut(db, call, |proxy| proxy.cut_before(step));
            assert_eq!(outcome, Some(Outcome::NothingHappened), "{call:?} {step}");
            let outcome = cut(db, call, |proxy| proxy.cut_after(step));
            assert_eq!(outcome, Some(Outcome::NothingHappened), "{call:?} {step}");
        }
    }
}

fn a_cut_before_the_commit_is_rolled_back_or_unknown(db: &Db) {
    db.counter(1);
    for form in Form::of(Work::Transaction) {
        let call = (form, Work::Transaction);
        let outcome = cut(db, call, |proxy| proxy.cut_before(PROOF));
        assert_eq!(outcome, Some(Outcome::RolledBack), "{form:?}");
        let outcome = cut(db, call, |proxy| proxy.cut_before(COMMIT));
        assert_eq!(outcome, Some(Outcome::Unknown), "{form:?}");
    }
    assert_eq!(db.value(1), 0);
}

fn a_cut_after_the_commit_is_unknown_or_no_error(db: &Db) {
    db.counter(1);
    for (form, done) in Form::of(Work::Transaction).into_iter().zip(1..) {
        let call = (form, Work::Transaction);
        let outcome = cut(db, call, |proxy| proxy.cut_after(COMMIT));
        assert_eq!(outcome, Some(Outcome::Unknown), "{form:?}");
        assert_eq!(db.value(1), 2 * done - 1, "{form:?}");
        let outcome = cut(db, call, |proxy| proxy.cut_before(RELEASE));
        assert_eq!(outcome, None, "{form:?}");
        assert_eq!(db.value(1), 2 * done, "{form:?}");
    }
}

fn a_cut_before_the_release_of_a_run_is_ran(db: &Db) {
    db.counter(1);
    for form in Form::of(Work::Run) {
        let call = (form, Work::Run);
        let outcome = cut(db, call, |proxy| proxy.cut_before(RELEASE));
        assert_eq!(outcome, Some(Outcome::Ran), "{form:?}");
    }
}
