//! The rules that no run may break, and the situations that some run must reach.

use stateright::Property;

use crate::state::{Caller, Progress, Report, State, Step};
use crate::transitions::Protocol;

macro_rules! properties {
    ($(#[$doc:meta])* $kind:ident, $property:ident;
     $($name:ident, $text:literal: $condition:expr;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind { $($name,)* }

        impl $kind {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub(crate) fn property(self) -> Property<Protocol> {
                let condition: fn(&Protocol, &State) -> bool = match self {
                    $(Self::$name => $condition,)*
                };
                Property::$property(self.text(), condition)
            }
        }
    };
}

properties! {
    /// A rule, which every state obeys.
    Rule, always;

    Exclusive, "bodies that report success under one lock never overlap": |_, state| {
        let succeeded = |number: usize| state.records[number].report == Some(Report::Success);
        let numbers = 0..state.records.len();
        numbers.clone().filter(|&one| succeeded(one)).all(|one| {
            let overlaps = state.records[one].overlaps;
            !numbers.clone().any(|other| overlaps & (1 << other) != 0 && succeeded(other))
        })
    };

    // Each body adds 1 to the value that it was given.
    NoLostUpdate, "no update of the row is lost": |_, state| {
        u32::from(state.db.row) == state.db.committed.count_ones()
    };

    NoCommitWithoutLock, "a lost lock never commits": |_, state| {
        !state.db.has_committed_without_lock
    };

    NeverStale, "a body never begins with a stale row": |_, state| !state.has_stale_body;

    LossReported, "a loss is reported to its caller": |_, state| {
        let is_hidden = |report, was_lost| report == Some(Report::Success) && was_lost;
        !state.records.iter().any(|it| is_hidden(it.report, it.was_lost))
    };

    TrueOutcome, "a report says what became of the work": |_, state| {
        (0..).zip(&state.records).all(|(number, record)| match record.report {
            Some(Report::Success) => is_committed(state, number),
            Some(Report::NothingHappened | Report::RolledBack) => !is_committed(state, number),
            _ => true,
        })
    };

    NothingHeld, "nothing stays held when all have left": |_, state| {
        let is_clean = |id| {
            let is_in_transaction = state.db.session(id).transaction.is_some();
            !state.db.holds_any(id) && !state.db.waits(id) && !is_in_transaction
        };
        !state.is_over() || (state.sessions().all(is_clean) && !state.pool.is_permit_taken)
    };

    // Without further faults, something goes on until all callers are done.
    NoForgottenWaiter, "no waiter is forgotten": |protocol, state| {
        let goes_on = |id| state.is_orphan(id) || state.db.is_in_deadlock(id);
        state.is_over()
            || (0..state.callers.len()).any(|index| protocol.is_enabled(state, index))
            || state.sessions().any(goes_on)
    };

    HandoffsBounded, "handoffs are bounded": |protocol, state| {
        let has_lock = |it: &Caller| matches!(it.step, Step::Begin | Step::Reload | Step::Work);
        let max = protocol.config.max_handoffs;
        state.callers.iter().all(|it| !has_lock(it) || it.handoffs <= max)
    };

    HandoffHeld, "a lock that is handed off is held": |_, state| !state.has_bad_handoff;

    NoSetDeadlock, "sets never deadlock": |_, state| !state.has_set_deadlock;
}

properties! {
    /// A situation, which some state is in, since the rules would hold without it as well.
    Situation, sometimes;

    ContendedWait, "a session waits for a lock": |_, state| {
        state.sessions().any(|id| state.db.waits(id))
    };

    KilledHolder, "the session of a body has ended": |_, state| {
        any(state, Step::Work, |id| !state.db.session(id).is_alive)
    };

    FailedWaitWasGranted, "a wait failed after the lock was granted": |_, state| {
        any(state, Step::Undo, |id| state.db.is_reachable(id) && state.db.session(id).holds[0] > 0)
    };

    VictimHoldsLock, "a call that fails holds another lock, which is waited for": |_, state| {
        let is_waited_for = |lock: u8| !state.db.queues[usize::from(lock)].is_empty();
        any(state, Step::Undo, |id| {
            (0..2).any(|lock| state.db.holds(id, lock) && is_waited_for(lock))
        })
    };

    Refused, "a lock inside an open transaction was refused": |_, state| {
        any(state, Step::CommitOuter, |_| true)
    };

    Reacquired, "a lock was acquired again after all its handoffs": |_, state| {
        state.callers.iter().any(|it| it.step == Step::HandOff && it.handoffs == 0)
    };

    HandedOff, "a lock was handed off": |_, state| {
        state.callers.iter().any(|it| it.step == Step::Work && it.handoffs > 0)
    };

    HandedOffInTransaction, "a transaction began under a lock that was handed off": |_, state| {
        state.callers.iter().any(|it| it.handoffs > 0 && it.progress == Progress::Begun)
    };

    DropWithGrant, "a request is dropped with a permit that it has not taken": |protocol, state| {
        (0..state.callers.len()).any(|index| {
            let can_be_dropped = protocol.config.callers[index].is_async && state.faults.drops > 0;
            let is_granted = protocol.is_enabled(state, index);
            state.callers[index].step == Step::Queued && is_granted && can_be_dropped
        })
    };

    // A connection that has failed is not connected.
    HeldByNoCaller, "a session holds a lock that no caller knows of": |_, state| {
        let is_connected = |id| state.db.session(id).is_connected;
        let mut orphans = state.sessions().filter(|&id| state.is_orphan(id));
        orphans.any(|id| state.db.holds_any(id) && is_connected(id))
    };

    LossWasReported, "a loss was reported": |_, state| {
        state.records.iter().any(|it| it.was_lost && it.report == Some(Report::Ran))
    };

    LossWasRolledBack, "a transaction whose lock was lost was rolled back": |_, state| {
        state.records.iter().any(|it| it.was_lost && it.report == Some(Report::RolledBack))
    };

    CommittedWithoutAnswer, "a transaction was committed without an answer": |_, state| {
        (0..).zip(&state.records).any(|(number, record)| {
            record.report == Some(Report::Unknown) && is_committed(state, number)
        })
    };
}

fn is_committed(state: &State, number: usize) -> bool {
    state.db.committed & (1 << number) != 0
}

/// Whether the session of a caller before this step fulfills a condition.
fn any(state: &State, step: Step, condition: impl Fn(u8) -> bool) -> bool {
    let mut callers = state.callers.iter().filter(|caller| caller.step == step);
    callers.any(|caller| caller.session.is_some_and(&condition))
}
