//! The protections of the library, each of which can be taken out of the model.

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident [$($file:literal $word:literal),*];)*) => {
        /// One protection of the library that is taken out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
        pub enum Mutant { $($(#[$doc])* $name,)* }

        impl Mutant {
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)*];

            /// Where the library has the protection: files, and a word in each.
            pub fn protection(self) -> &'static [(&'static str, &'static str)] {
                match self { $(Mutant::$name => &[$(($file, $word)),*],)* }
            }
        }
    };
}

mutants! {
    /// The model is not reloaded under its lock.
    NoReload ["src/guard/run.rs" "reload(&mut guard"];
    /// A new lock is acquired inside an open transaction.
    OpenTransactionAllowed [
        "src/session_lock/acquire.rs" "before.context()",
        "src/backend/mysql/acquire.rs" "REQUIRE_HELD",
        "src/backend/postgres/acquire.rs" "WHEN before = 0 THEN -3"
    ];
    /// A transaction that the body leaves open is not rolled back before the release.
    LeftOpenNotRolledBack ["src/session_lock/end.rs" "roll_back_to"];
    /// The lock is released although the transaction could not be rolled back.
    FailedRollbackReleases ["src/session_lock/end.rs" "Closed::Failed"];
    /// COMMIT is sent without a proof that the session holds the lock.
    NoProofBeforeCommit [
        "src/backend/traits.rs" "fn prove_and_commit",
        "src/backend/postgres/commit.rs" "Marker::Lost"
    ];
    /// The lock is released before COMMIT.
    ReleaseBeforeCommit ["src/guard/run.rs" "fn finish"];
    /// A COMMIT without an answer is reported as rolled back.
    UnknownCommitIsRolledBack [
        "src/session_lock/commit.rs" "CommitError::Unknown",
        "src/backend/postgres/commit.rs" "fn failed"
    ];
    /// On PostgreSQL, COMMIT is sent alone, which an aborted transaction answers with success.
    AbortedCommitIsSuccess ["src/backend/postgres/commit.rs" "SELECT; COMMIT"];
    /// On PostgreSQL above READ COMMITTED, a transaction begins together with its lock.
    LockInSnapshot ["src/backend/postgres/begin.rs" "Marker::Isolation"];
    /// The answer to a release is ignored.
    ReleaseAnswerIgnored ["src/session_lock/end.rs" "ReleaseAnswer::NotHeld"];
    /// A session whose release failed is not ended.
    FailedReleaseKeepsSession ["src/session_lock/end.rs" "C::Server::end_session"];
    /// A session that still holds the lock after its outermost release is not ended.
    StillHeldIgnored ["src/session_lock/end.rs" "LockState::StillHeld"];
    /// A lock on a connection from a pool counts as re-entrant if the session held it before.
    PooledLockIsReentrant ["src/pool/acquire.rs" "treat_as_outermost"];
    /// An attempt that failed may have acquired the lock, and neither releases it nor ends the
    /// session.
    FailedAttemptKeepsLock [
        "src/backend/mysql/acquire.rs" "may_have_run",
        "src/backend/postgres/acquire.rs" "release::undo"
    ];
    /// A wait that failed may have acquired the lock, and does not release it.
    FailedWaitKeepsLock [
        "src/backend/mysql/wait.rs" "leave_nothing_behind",
        "src/backend/postgres/wait.rs" "undo(driver, key)"
    ];
    /// The release after such a wait fails, and the session is not ended.
    FailedUndoKeepsSession [
        "src/backend/mysql/wait.rs" "end_session(driver)",
        "src/backend/postgres/release.rs" "end_session(driver)"
    ];
    /// A call that cannot acquire its second lock keeps the first.
    FailedSetKeepsFirstLock ["src/held_locks.rs" "session_lock::end"];
    /// The locks of a set are acquired in the order in which they are requested.
    UnsortedSet ["src/held_locks.rs" "order.sort_by"];
    /// A future that is dropped, or a panic, leaves its session as it is.
    DroppedFutureKeepsSession [
        "src/session_lock/armed.rs" "abandon",
        "async/src/guard.rs" "abandon"
    ];
    /// A lock is handed off without a proof that the session holds it.
    HandoffWithoutProof ["src/pool/handoff.rs" "fn is_fit"];
    /// On PostgreSQL, the proof before COMMIT also counts as a proof after it.
    CommitProofForHandoff ["src/backend/postgres/backend.rs" "COMMIT_KEEPS_LOCKS"];
    /// The handoffs of a lock are not counted.
    HandoffsNotCounted ["src/pool/budget.rs" "checked_sub"];
    /// When the budget is used up, it is renewed without a release.
    BudgetRenewedWithoutRelease ["src/pool/handoff.rs" "release_and_reacquire"];
    /// A permit that its holder drops is not granted to the next request.
    PermitNotGranted ["src/pool/wait_queue.rs" "Drop for Permit"];
    /// A request that is dropped with a permit it has not taken yet does not pass it on.
    DroppedWaiterKeepsPermit ["src/pool/wait_queue.rs" "fn leave_and_grant"];
}
