//! Which actions are possible in a state, and the state after each.

use crate::config::{Config, Server};
use crate::database::{Failure, Level};
use crate::protocol::{Delivery, Turn};
use crate::state::{Progress, State, Step};

/// What happens next. Anything that is possible may happen at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A caller takes its next step.
    Step { caller: u8, delivery: Delivery },
    /// The server ends a session.
    Kill { session: u8 },
    /// The server notices that a connection is closed.
    Notice { session: u8 },
    /// The server ends the wait of this caller, since it is part of a deadlock.
    Deadlock { caller: u8 },
}

/// The protocol under a configuration.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub config: Config,
    /// The texts of the rules to check and of the situations to find.
    pub properties: Vec<&'static str>,
}

impl Protocol {
    /// The actions that are possible.
    pub fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        let mut deliveries = Vec::new();
        for (caller, index) in (0u8..).zip(0..state.callers.len()) {
            deliveries.clear();
            self.deliveries(state, index, &mut deliveries);
            let steps = deliveries
                .iter()
                .map(|&delivery| Action::Step { caller, delivery });
            actions.extend(steps);
            let waits_in_cycle = self.config.server == Server::Postgres
                && state.callers[index].step == Step::Waiting
                && state.callers[index]
                    .session
                    .is_some_and(|id| state.db.is_in_deadlock(id));
            if waits_in_cycle {
                actions.push(Action::Deadlock { caller });
            }
        }
        for session in state.sessions() {
            if state.is_orphan(session) {
                actions.push(Action::Notice { session });
            } else if state.faults.kills > 0 && Self::may_kill(state, session) {
                actions.push(Action::Kill { session });
            }
        }
    }

    /// The state after an action. It is a function of its arguments alone, so that a recorded run
    /// can be replayed as well as explored.
    pub fn next(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Step { caller, delivery } => {
                let faults = &mut next.faults;
                match delivery {
                    Delivery::Answered => {}
                    Delivery::Interrupted { .. } => faults.interrupts -= 1,
                    Delivery::Cut { .. } => faults.cuts -= 1,
                    Delivery::TimedOut => faults.timeouts -= 1,
                    Delivery::Dropped { .. } => faults.drops -= 1,
                }
                Turn::new(&self.config, &mut next, usize::from(caller))?.take(delivery);
            }
            Action::Kill { session } => {
                next.faults.kills -= 1;
                next.db.end(session);
            }
            Action::Notice { session } => next.db.end(session),
            Action::Deadlock { caller } => {
                let id = next.callers[usize::from(caller)].session?;
                let failure = next.db.end_wait(id, Failure::Deadlock);
                Turn::new(&self.config, &mut next, usize::from(caller))?.fail_wait(failure);
            }
        }
        self.observe(&mut next);
        Some(next)
    }

    /// Whether the next step of a caller can be taken.
    pub fn is_enabled(&self, state: &State, index: usize) -> bool {
        let caller = &state.callers[index];
        let is_granted = |to: u8| usize::from(to) == index;
        match (caller.step, caller.session) {
            (Step::Done, _) => false,
            (Step::Queued, _) => {
                let granted = state.pool.granted.as_ref();
                granted.is_some_and(|grant| is_granted(grant.to))
            }
            (Step::CheckOut, _) => !state.pool.idle.is_empty(),
            (_, Some(id)) if !state.db.is_reachable(id) => true,
            (Step::Waiting, Some(id)) => {
                let call = self.config.call(index, caller.call);
                call.is_none_or(|call| state.db.holds(id, call.locks[usize::from(caller.acquired)]))
            }
            (Step::Work, Some(id)) => !state.db.is_row_locked(id),
            _ => true,
        }
    }

    /// What may become of the next step of a caller.
    fn deliveries(&self, state: &State, index: usize, found: &mut Vec<Delivery>) {
        let (caller, faults) = (&state.callers[index], state.faults);
        let is_enabled = self.is_enabled(state, index);
        if is_enabled {
            found.push(Delivery::Answered);
        }
        let is_reachable = caller.session.is_some_and(|id| state.db.is_reachable(id));
        let is_statement = is_reachable
            && !matches!(
                caller.step,
                Step::Start
                    | Step::Rest
                    | Step::HandOff
                    | Step::Leak
                    | Step::Done
                    | Step::BeginOuter
                    | Step::CommitOuter
            );
        let waits_in_process = matches!(caller.step, Step::Queued | Step::CheckOut);
        let waits = caller.step == Step::Waiting;
        // The effect of a wait is that the lock is granted, which needs no step of the caller.
        let may_run = is_enabled && !waits;
        if is_statement && faults.interrupts > 0 {
            found.push(Delivery::Interrupted { ran: false });
            let is_of_locks = matches!(
                caller.step,
                Step::Acquire | Step::Undo | Step::Release | Step::Reacquire
            );
            if is_of_locks {
                found.push(Delivery::Interrupted { ran: true });
            }
        }
        if is_statement && faults.cuts > 0 {
            found.push(Delivery::Cut { ran: false });
            if may_run {
                found.push(Delivery::Cut { ran: true });
            }
        }
        // On PostgreSQL, the lock of a session may have been granted just before.
        let is_late = self.config.server == Server::Postgres
            && caller.level == Level::Session
            && is_reachable;
        let may_time_out = match caller.step {
            Step::Queued => !is_enabled,
            Step::Waiting => !is_enabled || is_late,
            _ => false,
        };
        if faults.timeouts > 0 && may_time_out {
            found.push(Delivery::TimedOut);
        }
        let is_async = self.config.callers[index].is_async;
        if is_async
            && faults.drops > 0
            && (is_statement || waits_in_process || caller.step == Step::Rest)
        {
            found.push(Delivery::Dropped { ran: false });
            if is_statement && may_run {
                found.push(Delivery::Dropped { ran: true });
            }
        }
    }

    /// Whether the server may end the session as a fault: it does something for a caller.
    fn may_kill(state: &State, id: u8) -> bool {
        let session = state.db.session(id);
        state.db.is_reachable(id)
            && (state.db.holds_any(id) || session.transaction.is_some() || state.db.waits(id))
    }

    /// Records what the rules need to know of this state.
    fn observe(&self, state: &mut State) {
        let bodies: Vec<_> = self.bodies(state).collect();
        for &(number, session, locks) in &bodies {
            let is_lost = !session.is_some_and(|id| state.db.holds_all(id, locks));
            let others = bodies.iter().filter(|(it, _, others)| {
                *it != number && others.iter().any(|lock| locks.contains(lock))
            });
            let overlaps = others.fold(0, |bits, (it, _, _)| bits | 1 << it);
            let record = &mut state.records[number];
            record.was_lost |= is_lost;
            record.overlaps |= overlaps;
        }
    }

    /// The calls whose bodies run: from the reload to the step that ends the work under the lock.
    fn bodies<'a>(
        &'a self,
        state: &'a State,
    ) -> impl Iterator<Item = (usize, Option<u8>, &'static [u8])> + 'a {
        let mut first = 0;
        (0..state.callers.len()).filter_map(move |index| {
            let caller = &state.callers[index];
            let number = first + usize::from(caller.call);
            first += self.config.callers[index].calls.len();
            let is_running = match caller.step {
                Step::Steal | Step::Work | Step::Rest | Step::Prove | Step::Commit => true,
                Step::ProveForHandoff | Step::Reacquire | Step::Release | Step::Leak => {
                    caller.progress == Progress::Plain
                }
                _ => false,
            };
            let call = self.config.call(index, caller.call)?;
            let locks = call.locks.get(..usize::from(caller.acquired))?;
            (is_running && caller.error.is_none()).then_some((number, caller.session, locks))
        })
    }
}
