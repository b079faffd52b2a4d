//! The rules and situations as properties of states.

use stateright::Property;

use crate::rule::{Rule, Situation};
use crate::state::{Progress, Report, State, Step};
use crate::transitions::Protocol;

type Condition = fn(&Protocol, &State) -> bool;

/// The property that no state breaks the rule.
pub(crate) fn always(rule: Rule) -> Property<Protocol> {
    let condition: Condition = match rule {
        Rule::Exclusive => |_, state| {
            let succeeded = |number: usize| state.records[number].report == Some(Report::Success);
            let numbers = 0..state.records.len();
            numbers.clone().filter(|&one| succeeded(one)).all(|one| {
                let overlaps = state.records[one].overlaps;
                let mut others = numbers.clone().filter(|other| overlaps & (1 << other) != 0);
                !others.any(succeeded)
            })
        },
        // Each increment adds 1 to the value that its body was given.
        Rule::NoLostUpdate => |_, state| u32::from(state.db.row) == state.db.committed.count_ones(),
        Rule::NoCommitWithoutLock => |_, state| !state.db.has_committed_without_lock,
        Rule::NeverStale => |_, state| !state.has_stale_body,
        Rule::LossReported => |_, state| {
            let mut records = state.records.iter();
            records.all(|it| it.report != Some(Report::Success) || !it.was_lost)
        },
        Rule::TrueOutcome => |_, state| {
            let is_committed = |number: usize| state.db.committed & (1 << number) != 0;
            (0..)
                .zip(&state.records)
                .all(|(number, record)| match record.report {
                    Some(Report::Success) => is_committed(number),
                    Some(Report::NothingHappened | Report::RolledBack) => !is_committed(number),
                    _ => true,
                })
        },
        Rule::NothingHeld => |_, state| {
            let is_clean = |id| {
                let is_in_transaction = state.db.session(id).transaction.is_some();
                !state.db.holds_any(id) && !state.db.waits(id) && !is_in_transaction
            };
            !state.is_over() || (state.sessions().all(is_clean) && !state.pool.is_permit_taken)
        },
        // Without further faults, something always goes on until all callers are done.
        Rule::NoForgottenWaiter => |model, state| {
            state.is_over()
                || (0..state.callers.len()).any(|index| model.is_enabled(state, index))
                || state
                    .sessions()
                    .any(|id| state.is_orphan(id) || state.db.is_in_deadlock(id))
        },
        Rule::HandoffsBounded => |model, state| {
            let mut callers = state.callers.iter();
            callers.all(|caller| match caller.step {
                Step::Begin | Step::Reload | Step::Work => {
                    caller.handoffs <= model.config.max_handoffs
                }
                _ => true,
            })
        },
        Rule::HandoffHeld => |_, state| !state.has_bad_handoff,
        Rule::NoSetDeadlock => |_, state| !state.has_set_deadlock,
    };
    Property::always(rule.text(), condition)
}

/// The property that some state is in the situation.
pub(crate) fn sometimes(situation: Situation) -> Property<Protocol> {
    let condition: Condition = match situation {
        Situation::ContendedWait => |_, state| {
            let mut callers = state.callers.iter();
            callers.any(|caller| {
                caller.step == Step::Waiting && caller.session.is_some_and(|id| state.db.waits(id))
            })
        },
        Situation::KilledHolder => {
            |_, state| any(state, |caller, is_alive| caller == Step::Work && !is_alive)
        }
        Situation::FailedWaitWasGranted => |_, state| {
            let mut callers = state.callers.iter();
            callers.any(|caller| {
                caller.step == Step::Undo
                    && caller.session.is_some_and(|id| {
                        state.db.is_reachable(id) && state.db.session(id).holds[0] > 0
                    })
            })
        },
        Situation::CommittedWithoutAnswer => |_, state| {
            (0..).zip(&state.records).any(|(number, record)| {
                record.report == Some(Report::Unknown) && state.db.committed & (1 << number) != 0
            })
        },
        Situation::DroppedWaitWasGranted => |_, state| {
            let orphans = state.sessions().filter(|&id| state.is_orphan(id));
            let is_dropped = state
                .records
                .iter()
                .any(|it| it.report == Some(Report::Dropped));
            is_dropped && orphans.into_iter().any(|id| state.db.holds_any(id))
        },
        Situation::HandedOff => |_, state| {
            state
                .pool
                .granted
                .as_ref()
                .is_some_and(|grant| grant.handoff.is_some())
        },
        Situation::HandedOffInTransaction => |_, state| {
            let mut callers = state.callers.iter();
            callers.any(|it| it.handoffs > 0 && it.progress == Progress::Begun)
        },
        Situation::Reacquired => |_, state| {
            let mut callers = state.callers.iter();
            callers.any(|it| it.step == Step::HandOff && it.handoffs == 0)
        },
        Situation::GrantedAndDropped => |model, state| {
            (0..state.callers.len()).any(|index| {
                let is_granted = state.callers[index].step == Step::Queued
                    && model.is_enabled(state, index)
                    && model.config.callers[index].is_async;
                is_granted && state.faults.drops > 0
            })
        },
        Situation::ReportedLoss => |_, state| {
            state
                .records
                .iter()
                .any(|it| it.was_lost && it.report == Some(Report::Ran))
        },
        // The victim of a deadlock, or of a failed wait, holds a lock that another session waits for.
        Situation::VictimHoldsLock => |_, state| {
            let has_waiter = |id| {
                (0..2).any(|lock: u8| {
                    state.db.holds(id, lock) && !state.db.queues[usize::from(lock)].is_empty()
                })
            };
            state
                .callers
                .iter()
                .any(|it| it.step == Step::Undo && it.session.is_some_and(has_waiter))
        },
        Situation::LeakedGuard => |_, state| {
            state
                .sessions()
                .any(|id| state.is_orphan(id) && state.db.holds_any(id))
        },
        Situation::RolledBack => |_, state| {
            state
                .records
                .iter()
                .any(|it| it.was_lost && it.report == Some(Report::RolledBack))
        },
        Situation::Refused => {
            |_, state| state.callers.iter().any(|it| it.step == Step::CommitOuter)
        }
    };
    Property::sometimes(situation.text(), condition)
}

fn any(state: &State, condition: fn(Step, bool) -> bool) -> bool {
    state.callers.iter().any(|caller| {
        let is_alive = caller
            .session
            .is_some_and(|id| state.db.session(id).is_alive);
        condition(caller.step, is_alive)
    })
}
