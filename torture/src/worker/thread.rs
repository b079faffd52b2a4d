//! A thread of a worker: one call after another, each thrown by the dice.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use diesel::prelude::*;
use fastrand::Rng;
use torture_check::history::{self, Event, FaultKind, Outcome};

use super::connections::{NamedPool, is_broken, mark_broken, tell_held};
use super::error::outcome;
use super::op::{Mood, Op};
use super::{Deliberate, Done, Worker};
use crate::cli::OwnFault;
use crate::model::{Counter, IMPATIENT_MS, JOBS, ROWS, Target};
use crate::work::{Call, Entry, Locks, WAYS, WaitFor};

pub(super) struct Thread<'w> {
    pub(super) worker: &'w Worker,
    number: u16,
    rng: RefCell<Rng>,
    /// The rows as they were when this thread saw them last.
    copies: RefCell<HashMap<i64, Counter>>,
    /// A statement of a body has failed on the connection in use.
    stained: Cell<bool>,
    traces: RefCell<HashMap<Target, File>>,
    ways: Vec<&'static Entry>,
}

impl<'w> Thread<'w> {
    pub(super) fn new(worker: &'w Worker, number: u16) -> Self {
        let options = &worker.options;
        let deadlocks = options.faults.has(OwnFault::Deadlock);
        let ways = WAYS.iter().filter(|way| deadlocks || !way.crosses);
        Self {
            worker,
            number,
            rng: RefCell::new(Rng::with_seed(options.seed ^ (u64::from(number) << 48))),
            copies: RefCell::default(),
            stained: Cell::new(false),
            traces: RefCell::default(),
            ways: ways.flat_map(|way| vec![way; way.weight]).collect(),
        }
    }

    pub(super) fn run(&self) {
        let mut own = None;
        while !self.worker.is_stopping() {
            let way = self.ways[self.below(self.ways.len())];
            let call = Call {
                way: way.name,
                target: self.target(way.locks),
                wait: way.wait,
                can_steal: way.can_steal,
            };
            match self.die(10) {
                0..=5 => self.on_own(&mut own, way, &call),
                6..=7 => self.on_pooled(&self.worker.pools.roomy, way, &call),
                _ => self.on_pooled(&self.worker.pools.squeezed, way, &call),
            }
        }
        if let Some(mut conn) = own {
            tell_held(self.own_source(), &mut conn, &self.worker.history);
        }
    }

    /// On the thread's own connection, which it keeps for as long as the library does not say that it
    /// is broken.
    fn on_own(&self, own: &mut Option<MysqlConnection>, way: &Entry, call: &Call) {
        let Some(conn) = own else {
            *own = self.connect();
            return;
        };
        self.top_level(call, self.own_source(), |op| (way.plain)(op, conn));
        if self.stained.get() || is_broken(conn) {
            *own = None;
        }
    }

    fn on_pooled(&self, pool: &NamedPool, way: &Entry, call: &Call) {
        let Ok(mut conn) = pool.pool.get() else {
            self.unconnected(pool.name);
            return;
        };
        self.top_level(call, pool.name, |op| (way.pooled)(op, &mut conn));
        if self.stained.get() {
            mark_broken(&mut conn);
        }
    }

    fn top_level(&self, call: &Call, source: &'static str, run: impl FnOnce(&Op<'_>) -> Done) {
        self.stained.set(false);
        let done = catch_unwind(AssertUnwindSafe(|| self.perform(call, source, run)));
        // Whatever came of it is in the history.
        drop(done);
    }

    /// Makes a call and writes down what came of it.
    pub(super) fn perform(
        &self,
        call: &Call,
        source: &'static str,
        run: impl FnOnce(&Op<'_>) -> Done,
    ) -> Done {
        let op = Op {
            thread: self,
            id: self.worker.next_op.fetch_add(1, Ordering::Relaxed),
            target: call.target,
            wait: self.wait(call.wait),
            mood: self.mood(call),
            dwell: self.dwell(call.target),
            source,
        };
        let history = &self.worker.history;
        history.write(&Event::Invoke {
            op: op.id,
            thread: self.number,
            way: call.way,
            names: &call.target.name().to_string(),
            wait: op.wait_ms(),
            source,
        });
        let done = catch_unwind(AssertUnwindSafe(|| run(&op)));
        let word = match &done {
            Ok(done) => outcome(done),
            Err(panic) if panic.is::<Deliberate>() => Outcome::Panicked,
            Err(_) => Outcome::Other,
        };
        history.write(&Event::Outcome { op: op.id, word });
        if let (Outcome::Other, Ok(Err(error))) = (word, &done) {
            eprintln!("operation {}: {error}", op.id);
        }
        // A statement that failed is one that Diesel may have kept, and to run it again would hang:
        // nobody is to work on this connection any more.
        if word == Outcome::BodyDatabase {
            self.stained.set(true);
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn connect(&self) -> Option<MysqlConnection> {
        let options = &self.worker.options;
        let url = if self.is_direct() {
            &options.direct
        } else {
            &options.proxied
        };
        let conn = MysqlConnection::establish(url).ok();
        if conn.is_none() {
            self.unconnected(self.own_source());
        }
        conn
    }

    fn unconnected(&self, source: &str) {
        self.worker.history.write(&Event::Unconnected {
            thread: self.number,
            source,
        });
        sleep(Duration::from_millis(20));
    }

    fn is_direct(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    fn own_source(&self) -> &'static str {
        if self.is_direct() {
            "plain-direct"
        } else {
            "plain"
        }
    }

    pub(super) fn count_cycle(&self) {
        self.worker.cycles.fetch_add(1, Ordering::Relaxed);
    }

    /// A line in the lock's file: work outside of the database, which no transaction protects.
    pub(super) fn leave_trace(&self, word: &str, op: &Op<'_>) {
        let mut traces = self.traces.borrow_mut();
        let file = traces.entry(op.target).or_insert_with(|| {
            let name = op.lock_name().to_string();
            let path = history::effects_file(&self.worker.effects, &name);
            let file = OpenOptions::new().append(true).create(true).open(&path);
            file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        let line = format!("{word} {} {}\n", self.worker.options.number, op.id);
        if let Err(error) = file.write_all(line.as_bytes()) {
            panic!("a trace cannot be written: {error}");
        }
    }

    pub(super) fn copy(&self, id: i64) -> Counter {
        let copies = self.copies.borrow();
        let copy = copies.get(&id).cloned();
        copy.unwrap_or(Counter { id, value: 0 })
    }

    pub(super) fn keep(&self, counter: Counter) {
        self.copies.borrow_mut().insert(counter.id, counter);
    }

    pub(super) fn die(&self, sides: u32) -> u32 {
        self.rng.borrow_mut().u32(0..sides)
    }

    fn below(&self, length: usize) -> usize {
        self.rng.borrow_mut().usize(0..length)
    }

    fn target(&self, locks: Locks) -> Target {
        let mut rng = self.rng.borrow_mut();
        // Half of all want the same two.
        let row = if rng.bool() {
            rng.i64(1..=2)
        } else {
            rng.i64(1..=ROWS)
        };
        match locks {
            Locks::Row => Target::Row(row),
            Locks::Scoped => Target::Scoped(row),
            Locks::Job => Target::Job(rng.i64(1..=JOBS)),
        }
    }

    fn wait(&self, wait: WaitFor) -> Duration {
        let mut rng = self.rng.borrow_mut();
        let ms = match wait {
            WaitFor::Default => return diesel_advisory_lock::DEFAULT_TIMEOUT,
            WaitFor::Nothing => 0,
            WaitFor::Impatient => IMPATIENT_MS,
            WaitFor::Chosen => match rng.u8(0..10) {
                0..=1 => rng.u64(1..40),
                2..=4 => rng.u64(40..1_500),
                5..=6 => 1_000 * rng.u64(1..=4),
                _ => rng.u64(5_000..20_000),
            },
        };
        Duration::from_millis(ms)
    }

    fn mood(&self, call: &Call) -> Mood {
        let faults = &self.worker.options.faults;
        match self.die(200) {
            0..=3 => Mood::Fails,
            4..=7 if faults.has(OwnFault::Panic) => Mood::Panics,
            8..=9 if call.can_steal && faults.has(OwnFault::Theft) => Mood::Steals,
            _ => Mood::Calm,
        }
    }

    /// How long a body does nothing.
    fn dwell(&self, target: Target) -> Duration {
        let idle_sessions_end = &self.worker.options.faults.kinds;
        let may_nap = idle_sessions_end.contains(&FaultKind::WaitTimeout)
            && matches!(target, Target::Row(ROWS) | Target::Job(JOBS));
        let mut rng = self.rng.borrow_mut();
        let us = match rng.u16(0..1_000) {
            // Longer than the shortest `wait_timeout`, where few others have to wait for it.
            0..=4 if may_nap => rng.u64(1_200_000..2_400_000),
            0..=6 => rng.u64(8_000..40_000),
            7..=29 => rng.u64(1_000..8_000),
            30..=129 => rng.u64(50..1_000),
            _ => 0,
        };
        Duration::from_micros(us)
    }
}
