//! The protections of the library, each of which can be taken out of the model.

use crate::rule::Rule;

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident: $rule:ident, $file:literal;)*) => {
        /// One protection of the library that is taken out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
        pub enum Mutant { $($(#[$doc])* $name,)* }

        impl Mutant {
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)*];

            /// The rule that this mutant breaks.
            pub fn breaks(self) -> Rule {
                match self { $(Mutant::$name => Rule::$rule,)* }
            }

            /// Where the library has the protection.
            pub fn file(self) -> &'static str {
                match self { $(Mutant::$name => $file,)* }
            }
        }
    };
}

mutants! {
    /// The model is not reloaded under its lock.
    NoReload: NeverStale, "src/guard/run.rs, src/reload.rs";
    /// A new lock is acquired inside an open transaction.
    OpenTransactionAllowed: NoLostUpdate, "src/session_lock/acquire.rs, src/backend/*/acquire.rs";
    /// A transaction that the body leaves open is not rolled back before the release.
    LeftOpenNotRolledBack: NoLostUpdate, "src/session_lock/end.rs (close)";
    /// The lock is released although the transaction could not be rolled back.
    FailedRollbackReleases: NoLostUpdate, "src/session_lock/end.rs (Closed::Failed)";
    /// COMMIT is sent without a proof that the session holds the lock.
    NoProofBeforeCommit: NoCommitWithoutLock, "src/session_lock/commit.rs, src/backend/*/commit*";
    /// The lock is released before COMMIT.
    ReleaseBeforeCommit: NoCommitWithoutLock, "src/guard/run.rs (finish)";
    /// A COMMIT without an answer is reported as rolled back.
    UnknownCommitIsRolledBack: TrueOutcome, "src/backend/traits.rs (prove_and_commit), src/backend/postgres/commit.rs (failed)";
    /// On PostgreSQL, COMMIT is sent alone, which an aborted transaction answers with success.
    AbortedCommitIsSuccess: TrueOutcome, "src/backend/postgres/commit.rs (commit_own_transaction, commit_without_proof)";
    /// On PostgreSQL above READ COMMITTED, a transaction begins together with its lock.
    LockInSnapshot: NeverStale, "src/backend/postgres/begin.rs (Marker::Isolation)";
    /// The answer to a release is ignored.
    ReleaseAnswerIgnored: LossReported, "src/session_lock/end.rs (release_by)";
    /// A session whose release failed is not ended.
    FailedReleaseKeepsSession: NothingHeld, "src/session_lock/end.rs (release_by)";
    /// A session that still holds the lock after its outermost release is not ended.
    StillHeldIgnored: NothingHeld, "src/session_lock/end.rs (LockState::StillHeld)";
    /// A lock on a connection from a pool counts as re-entrant if the session held it before.
    PooledLockIsReentrant: NothingHeld, "src/held_locks.rs (treat_as_outermost)";
    /// An attempt that failed may have acquired the lock, and neither releases it nor ends the
    /// session.
    FailedAttemptKeepsLock: NothingHeld, "src/backend/*/acquire.rs";
    /// A wait that failed may have acquired the lock, and does not release it.
    FailedWaitKeepsLock: NothingHeld, "src/backend/*/wait.rs";
    /// The release after such a wait fails, and the session is not ended.
    FailedUndoKeepsSession: NothingHeld, "src/backend/mysql/wait.rs (leave_nothing_behind), src/backend/postgres/release.rs (undo)";
    /// A call that cannot acquire its second lock keeps the first.
    FailedSetKeepsFirstLock: NothingHeld, "src/held_locks.rs (acquire_many)";
    /// The locks of a set are acquired in the order in which they are requested.
    UnsortedSet: NoSetDeadlock, "src/held_locks.rs (acquire_many)";
    /// A future that is dropped, or a panic, leaves its session as it is.
    DroppedFutureKeepsSession: NothingHeld, "src/session_lock/armed.rs, async/src/cancel.rs";
    /// A lock is handed off without a proof that the session holds it.
    HandoffWithoutProof: LossReported, "src/pool/handoff.rs (is_fit)";
    /// On PostgreSQL, the proof before COMMIT also counts as a proof after it.
    CommitProofForHandoff: HandoffHeld, "src/backend/postgres/backend.rs (COMMIT_KEEPS_LOCKS)";
    /// The handoffs of a lock are not counted.
    HandoffsNotCounted: HandoffsBounded, "src/pool/budget.rs (HandoffBudget::next)";
    /// When the budget is used up, it is renewed without a release.
    BudgetRenewedWithoutRelease: HandoffsBounded, "src/pool/handoff.rs (release_and_reacquire)";
    /// A permit that its holder drops is not granted to the next request.
    PermitNotGranted: NoForgottenWaiter, "src/pool/wait_queue.rs (Drop for Permit)";
    /// A request that is dropped with a permit it has not taken yet does not pass it on.
    DroppedWaiterKeepsPermit: NoForgottenWaiter, "src/pool/wait_queue.rs (leave_and_grant)";
}
