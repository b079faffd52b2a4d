//! The outcome that an error reports, compared with what happened, when the connection is cut at
//! each step.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};
use test_server::Proxy;

use super::support::{Db, Path};
use crate::server::statement::{ACQUIRE, BEGIN, COMMIT, RELEASE, RELOAD, VERIFY};

/// Cuts the connection during a call. Compares the reported outcome with what happened, and returns
/// it.
#[both]
async fn cut(db: &Db, path: Path, cut: impl FnOnce(&Proxy)) -> Option<Outcome> {
    let (proxy, url) = db.proxy();
    let client = &mut path.client_at(&url).await;
    let before = db.value(1).await;
    cut(&proxy);
    let ran = AtomicBool::new(false);
    let result = client
        .run_on_counter(async |counter, conn| {
            ran.store(true, SeqCst);
            counter.add_one(conn).await.map(drop)
        })
        .await;
    assert!(
        !proxy.is_to_cut(),
        "{path:?}: the call did not reach the step"
    );
    // The session has ended, and so has its transaction.
    db.wait_until_paths_are_free(&format!("{path:?}")).await;
    let is_written = db.value(1).await > before;
    let Err(error) = result else {
        assert!(is_written, "{path:?}");
        return None;
    };
    let error = LockError::try_from(error).unwrap();
    let outcome = error.outcome();
    let is_true = match outcome {
        Outcome::NothingHappened => !ran.load(SeqCst) && !is_written,
        Outcome::RolledBack => ran.load(SeqCst) && !is_written,
        Outcome::Ran | Outcome::Committed => ran.load(SeqCst) && is_written,
        Outcome::Unknown => ran.load(SeqCst),
        _ => false,
    };
    let truth = (ran.load(SeqCst), is_written);
    assert!(is_true, "{path:?}: {truth:?} is reported as {error:?}");
    assert!(
        !error.is_retryable() || !is_written,
        "{path:?}: {error:?} is retried"
    );
    Some(outcome)
}

#[server_test]
async fn connection_cut_before_the_closure_returns_nothing_happened(db: &Db) {
    db.lock_before_begin().await;
    db.counter(1).await;
    for path in Path::essential() {
        for step in [ACQUIRE, BEGIN, RELOAD] {
            if step == BEGIN && !path.form.is_transaction() {
                continue;
            }
            let outcome = cut(db, path, |proxy| proxy.cut_before(step)).await;
            assert_eq!(outcome, Some(Outcome::NothingHappened), "{path:?} {step}");
            let outcome = cut(db, path, |proxy| proxy.cut_after(step)).await;
            assert_eq!(outcome, Some(Outcome::NothingHappened), "{path:?} {step}");
        }
    }
}

#[server_test]
async fn connection_cut_before_commit_returns_rolled_back_or_unknown(db: &Db) {
    db.lock_before_begin().await;
    db.counter(1).await;
    for path in Path::essential_transactions() {
        let outcome = cut(db, path, |proxy| proxy.cut_before(VERIFY)).await;
        assert_eq!(outcome, Some(Outcome::RolledBack), "{path:?}");
        let outcome = cut(db, path, |proxy| proxy.cut_before(COMMIT)).await;
        assert_eq!(outcome, Some(Outcome::Unknown), "{path:?}");
    }
    assert_eq!(db.value(1).await, 0);
}

#[server_test]
async fn connection_cut_after_commit_returns_unknown_or_no_error(db: &Db) {
    db.lock_before_begin().await;
    db.counter(1).await;
    for (path, done) in Path::essential_transactions().zip(1..) {
        let outcome = cut(db, path, |proxy| proxy.cut_after(COMMIT)).await;
        assert_eq!(outcome, Some(Outcome::Unknown), "{path:?}");
        assert_eq!(db.value(1).await, 2 * done - 1, "{path:?}");
        let outcome = cut(db, path, |proxy| proxy.cut_before(RELEASE)).await;
        assert_eq!(outcome, None, "{path:?}");
        assert_eq!(db.value(1).await, 2 * done, "{path:?}");
    }
}

#[server_test]
async fn connection_cut_before_the_release_of_a_run_returns_ran(db: &Db) {
    db.counter(1).await;
    for path in Path::essential_runs() {
        let outcome = cut(db, path, |proxy| proxy.cut_before(RELEASE)).await;
        assert_eq!(outcome, Some(Outcome::Ran), "{path:?}");
    }
}
