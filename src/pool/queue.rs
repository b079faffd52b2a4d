//! [`Queue`]: whose turn it is. First come, first served, by name, without a connection.
//!
//! There is one [`Turn`] for each name that anybody here wants. Who has it asks the server, and hands the turn on
//! when done: with what he holds ([`Turn::pass`]), or without (dropping it). A name whose last turn
//! ends is forgotten. The states of one name:
//!
//! ```text
//!           join                    the last one ends
//! nobody ────────▶ taken ──────────────────────────────▶ nobody
//!                  │   ▲
//!  passed, dropped │   │ the waiter wakes up and takes it
//!                  ▼   │
//!                 given to the first waiter
//! ```
//!
//! It knows nothing of servers, so that `tests/queue.rs` can run it under loom, in every order of steps.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use super::sync::{Condvar, Mutex, MutexGuard, unpoisoned, wait_until};

/// The turns of all names. `T` is what may be handed on with a turn.
pub(crate) struct Queue<N, T> {
    lines: Mutex<HashMap<N, Line<T>>>,
}

/// Who is here for one name; there is none for a name that nobody is here for.
struct Line<T> {
    phase: Phase,
    /// A turn that is on its way to the waiter of that number.
    given: Option<(u64, Option<T>)>,
    /// By number, in the order they came.
    waiting: BTreeMap<u64, Waiter>,
    next_number: u64,
}

struct Waiter {
    woken: Arc<Condvar>,
    wants: Wants,
}

/// What a waiter can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// A turn, and what is handed on with it.
    All,
    /// Only a turn: it has others to wait for before it asks the server.
    Turn,
}

/// A turn, and what is handed on with it.
pub(crate) type Given<N, T> = (Turn<N, T>, Option<T>);

/// How far the one whose turn it is has come, to explain why others wait for theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It waits for a connection.
    Connecting,
    /// It has asked the server for the lock.
    Asking,
    /// It has the lock.
    Holding,
    /// A closure of its runs under the lock, on the thread with this number.
    Running(u64),
}

/// Where one stands after joining.
pub(crate) enum Joined<N: Eq + Hash + Clone, T> {
    First(Turn<N, T>),
    Behind(Ticket<N, T>),
}

/// A place behind others.
pub(crate) struct Ticket<N: Eq + Hash + Clone, T> {
    queue: Arc<Queue<N, T>>,
    name: N,
    number: u64,
    woken: Arc<Condvar>,
    left: bool,
}

/// The right to ask the server for a name, which nobody else in this process has.
pub(crate) struct Turn<N: Eq + Hash + Clone, T> {
    queue: Arc<Queue<N, T>>,
    name: N,
    ended: bool,
}

impl<N: Eq + Hash + Clone, T> Queue<N, T> {
    pub(crate) fn new() -> Self {
        Queue {
            lines: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn join(self: &Arc<Self>, name: &N, wants: Wants) -> Joined<N, T> {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(name) else {
            lines.insert(name.clone(), Line::new());
            return Joined::First(Turn::new(self, name));
        };
        let number = line.next_number;
        line.next_number += 1;
        let woken = Arc::new(Condvar::new());
        let waiter = Waiter {
            woken: Arc::clone(&woken),
            wants,
        };
        line.waiting.insert(number, waiter);
        Joined::Behind(Ticket {
            queue: Arc::clone(self),
            name: name.clone(),
            number,
            woken,
            left: false,
        })
    }

    /// Names that somebody is here for, and how many of those wait for their turn.
    pub(crate) fn size(&self) -> (usize, usize) {
        let lines = self.lines();
        (
            lines.len(),
            lines.values().map(|line| line.waiting.len()).sum(),
        )
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<N, Line<T>>> {
        unpoisoned(self.lines.lock())
    }
}

impl<T> Line<T> {
    fn new() -> Self {
        Line {
            phase: Phase::Connecting,
            given: None,
            waiting: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// Gives the turn, and `thing` with it, to the first waiter; who is then to be woken.
    fn give(&mut self, thing: Option<T>) -> Result<Arc<Condvar>, Option<T>> {
        let Some(first) = self.waiting.first_entry() else {
            return Err(thing);
        };
        if thing.is_some() && first.get().wants != Wants::All {
            return Err(thing);
        }
        let (number, waiter) = first.remove_entry();
        self.phase = match &thing {
            Some(_) => Phase::Holding,
            None => Phase::Connecting,
        };
        self.given = Some((number, thing));
        Ok(waiter.woken)
    }
}

impl<N: Eq + Hash + Clone, T> Ticket<N, T> {
    /// Waits for the turn, and what comes with it. If it does not come in time, the error says how far the one whose
    /// turn it is has come.
    pub(crate) fn wait(mut self, deadline: Option<Instant>) -> Result<Given<N, T>, Option<Phase>> {
        let queue = Arc::clone(&self.queue);
        let mut lines = queue.lines();
        loop {
            if let Some(turn) = self.take(&mut lines) {
                return Ok(turn);
            }
            let (relocked, expired) = wait_until(&self.woken, lines, deadline);
            lines = relocked;
            if expired.0 {
                self.step_out(&mut lines);
                return Err(lines.get(&self.name).map(|line| line.phase));
            }
        }
    }

    /// Of the one whose turn it is.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.queue.lines().get(&self.name).map(|line| line.phase)
    }

    fn take(&mut self, lines: &mut HashMap<N, Line<T>>) -> Option<Given<N, T>> {
        let (_, thing) = lines
            .get_mut(&self.name)?
            .given
            .take_if(|(number, _)| *number == self.number)?;
        self.left = true;
        Some((Turn::new(&self.queue, &self.name), thing))
    }

    fn step_out(&mut self, lines: &mut HashMap<N, Line<T>>) {
        self.left = true;
        if let Some(line) = lines.get_mut(&self.name) {
            line.waiting.remove(&self.number);
        }
    }
}

impl<N: Eq + Hash + Clone, T> Drop for Ticket<N, T> {
    fn drop(&mut self) {
        // Only if its thread unwinds out of `wait`. What was on its way here must go on.
        if !self.left {
            let queue = Arc::clone(&self.queue);
            let mut lines = queue.lines();
            let given = self.take(&mut lines);
            self.step_out(&mut lines);
            drop(lines);
            if let Some((turn, thing)) = given {
                drop(thing);
                drop(turn);
            }
        }
    }
}

impl<N: Eq + Hash + Clone, T> Turn<N, T> {
    fn new(queue: &Arc<Queue<N, T>>, name: &N) -> Self {
        Turn {
            queue: Arc::clone(queue),
            name: name.clone(),
            ended: false,
        }
    }

    /// Says how far the one whose turn it is has come.
    pub(crate) fn set_phase(&self, phase: Phase) {
        if let Some(line) = self.queue.lines().get_mut(&self.name) {
            line.phase = phase;
        }
    }

    /// How many wait behind this turn; none, if the first of them could not use what is handed on.
    pub(crate) fn takers(&self) -> usize {
        let lines = self.queue.lines();
        let waiting = lines.get(&self.name).map(|line| &line.waiting);
        waiting
            .filter(|waiting| {
                let first = waiting.first_key_value();
                first.is_some_and(|(_, first)| first.wants == Wants::All)
            })
            .map_or(0, BTreeMap::len)
    }

    /// Hands `thing` and the turn to the first waiter; or gives both back, if there is none to take it.
    pub(crate) fn pass(mut self, thing: T) -> Result<(), (Self, T)> {
        let given = match self.queue.lines().get_mut(&self.name) {
            Some(line) => line.give(Some(thing)),
            None => Err(Some(thing)),
        };
        match given {
            Ok(woken) => {
                self.ended = true;
                woken.notify_one();
                Ok(())
            }
            Err(thing) => thing.map_or(Ok(()), |thing| Err((self, thing))),
        }
    }

    fn end(&mut self) -> Option<Arc<Condvar>> {
        let mut lines = self.queue.lines();
        let woken = lines.get_mut(&self.name)?.give(None);
        if woken.is_err() {
            lines.remove(&self.name);
            forget_room(&mut lines);
        }
        woken.ok()
    }
}

impl<N: Eq + Hash + Clone, T> Drop for Turn<N, T> {
    fn drop(&mut self) {
        if !self.ended
            && let Some(woken) = self.end()
        {
            woken.notify_one();
        }
    }
}

/// A table keeps its room for the most names it ever had; gives back what is far too much.
fn forget_room<N: Eq + Hash, T>(lines: &mut HashMap<N, Line<T>>) {
    const SMALL: usize = 64;
    if lines.capacity() > SMALL && lines.len() < lines.capacity() / 8 {
        lines.shrink_to(lines.len() * 2);
    }
}
