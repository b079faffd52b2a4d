//! The rules that no run may break, and the situations that some run must reach.

/// A rule that holds in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Exclusive,
    NoLostUpdate,
    NoCommitWithoutLock,
    NeverStale,
    LossReported,
    TrueOutcome,
    NothingHeld,
    NoForgottenWaiter,
    HandoffsBounded,
    HandoffHeld,
    NoSetDeadlock,
}

impl Rule {
    pub const ALL: &[Rule] = &[
        Rule::Exclusive,
        Rule::NoLostUpdate,
        Rule::NoCommitWithoutLock,
        Rule::NeverStale,
        Rule::LossReported,
        Rule::TrueOutcome,
        Rule::NothingHeld,
        Rule::NoForgottenWaiter,
        Rule::HandoffsBounded,
        Rule::HandoffHeld,
        Rule::NoSetDeadlock,
    ];

    pub fn text(self) -> &'static str {
        match self {
            Rule::Exclusive => "bodies that report success under one lock never overlap",
            Rule::NoLostUpdate => "no update of the row is lost",
            Rule::NoCommitWithoutLock => "a lost lock never commits",
            Rule::NeverStale => "a body never begins with a stale row",
            Rule::LossReported => "a loss is reported to its caller",
            Rule::TrueOutcome => "a report says what became of the work",
            Rule::NothingHeld => "nothing stays held when all have left",
            Rule::NoForgottenWaiter => "no waiter is forgotten",
            Rule::HandoffsBounded => "handoffs are bounded",
            Rule::HandoffHeld => "a lock that is handed off is held",
            Rule::NoSetDeadlock => "sets never deadlock",
        }
    }
}

/// A situation that some state must be in, since the rules would hold without it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    ContendedWait,
    KilledHolder,
    FailedWaitWasGranted,
    CommittedWithoutAnswer,
    DroppedWaitWasGranted,
    HandedOff,
    HandedOffInTransaction,
    Reacquired,
    GrantedAndDropped,
    ReportedLoss,
    VictimHoldsLock,
    LeakedGuard,
    RolledBack,
    Refused,
}

impl Situation {
    pub fn text(self) -> &'static str {
        match self {
            Situation::ContendedWait => "a session waits for a lock that another one holds",
            Situation::KilledHolder => "the session of a body has ended",
            Situation::FailedWaitWasGranted => "a wait failed after the lock was granted",
            Situation::CommittedWithoutAnswer => "a transaction was committed without an answer",
            Situation::DroppedWaitWasGranted => "a lock was granted to a session without a caller",
            Situation::HandedOff => "a lock was handed off",
            Situation::HandedOffInTransaction => "a lock that was handed off began a transaction",
            Situation::Reacquired => "a lock was acquired again after all its handoffs",
            Situation::GrantedAndDropped => "a request was dropped with a permit it had not taken",
            Situation::ReportedLoss => "a loss was reported",
            Situation::VictimHoldsLock => {
                "the victim of a deadlock holds a lock that is waited for"
            }
            Situation::LeakedGuard => "a leaked guard holds its lock",
            Situation::RolledBack => "a transaction under a lost lock was rolled back",
            Situation::Refused => "a lock inside an open transaction was refused",
        }
    }
}
