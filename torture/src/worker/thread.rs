//! A thread of a worker: one call after another, each thrown by the dice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::LockName;
use fastrand::Rng;
use torture_check::history::{self, Event, Outcome};

use super::connections::{Named, Pool, is_broken, set_back, tell_held};
use super::error::{claim, outcome};
use super::op::Op;
use super::{Deliberate, Done, Worker};
use crate::model::Counter;
use crate::work::{Call, Entry, FromPools, WAYS};

mod dice;

/// How long a connection that is of no further use stays open: longer than others may wait for a lock that has leaked.
const KEPT_BROKEN: Duration = Duration::from_secs(8);

pub(super) struct Thread<'w> {
    pub(super) worker: &'w Worker,
    number: u16,
    rng: RefCell<Rng>,
    /// The rows as they were when this thread saw them last.
    copies: RefCell<HashMap<i64, Counter>>,
    traces: RefCell<HashMap<String, File>>,
    /// A connection that is of no further use. If it had a lock, that must be free all the same.
    broken: RefCell<Option<(Instant, MysqlConnection)>>,
    /// Each as often as it weighs.
    ways: Vec<&'static Entry>,
    ways_from_pool: Vec<(&'static Entry, FromPools)>,
}

impl<'w> Thread<'w> {
    pub(super) fn new(worker: &'w Worker, number: u16) -> Self {
        let options = &worker.options;
        let is_asked_for = |fault| options.faults.has(fault);
        let ways = WAYS
            .iter()
            .filter(|way| way.causes.is_none_or(is_asked_for));
        let ways: Vec<_> = ways.flat_map(|way| vec![way; way.weight]).collect();
        let ways_from_pool = ways.iter().filter_map(|&way| Some((way, way.from_pool?)));
        Self {
            worker,
            number,
            rng: RefCell::new(Rng::with_seed(options.seed ^ (u64::from(number) << 48))),
            copies: RefCell::default(),
            traces: RefCell::default(),
            broken: RefCell::default(),
            ways_from_pool: ways_from_pool.collect(),
            ways,
        }
    }

    pub(super) fn run(&self) {
        let mut own = None;
        let pools = &self.worker.pools;
        while !self.worker.is_stopping() {
            match self.die(20) {
                0..=5 => self.on_own(&mut own),
                6..=7 => self.on_pooled(&pools.roomy),
                8..=9 => self.on_pooled(&pools.squeezed),
                10..=11 => self.from(&pools.from, |forms| forms.pool),
                12..=16 => self.from(&pools.lock_pool, |forms| forms.lock_pool),
                _ => self.from(&pools.squeezed_lock_pool, |forms| forms.lock_pool),
            }
        }
        if let Some(mut conn) = own {
            tell_held(self.own_source(), &mut conn, &self.worker.history);
        }
    }

    /// On the thread's own connection, which it keeps until something is wrong with it.
    fn on_own(&self, own: &mut Option<MysqlConnection>) {
        let Some(conn) = own else {
            *own = self.connect();
            return;
        };
        let way = self.pick(&self.ways);
        let outcome = self.top_level(way, self.own_source(), |op| (way.plain)(op, conn));
        if way.sets {
            set_back(conn);
        }
        if is_broken(conn) {
            self.keep_broken(own.take());
        } else if outcome == Outcome::BodyDatabase {
            *own = None;
        }
    }

    /// On a connection that this thread takes from a pool.
    fn on_pooled(&self, pool: &Named<Pool>) {
        let Ok(mut conn) = pool.pool.get() else {
            self.unconnected(pool.name);
            return;
        };
        let way = self.pick(&self.ways);
        self.top_level(way, pool.name, |op| (way.pooled)(op, &mut conn));
        if way.sets {
            set_back(&mut conn);
        }
    }

    /// On a connection that the library takes from a pool.
    fn from<P>(&self, pool: &Named<P>, form: impl Fn(FromPools) -> fn(&Op<'_>, &P) -> Done) {
        let (way, forms) = self.pick(&self.ways_from_pool);
        let run = form(forms);
        self.top_level(way, pool.name, |op| run(op, &pool.pool));
    }

    fn top_level(
        &self,
        way: &Entry,
        source: &'static str,
        run: impl FnOnce(&Op<'_>) -> Done,
    ) -> Outcome {
        let call = Call {
            way: way.name,
            target: self.target(way.locks),
            wait: way.wait,
            can_steal: way.can_steal,
        };
        let done = catch_unwind(AssertUnwindSafe(|| self.perform(&call, source, run)));
        word(&done)
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
        let names: Vec<_> = call
            .target
            .names()
            .iter()
            .map(LockName::to_string)
            .collect();
        let history = &self.worker.history;
        history.write(&Event::Invoke {
            op: op.id,
            thread: self.number,
            way: call.way,
            names: &names.join("+"),
            wait: op.wait_ms(),
            source,
        });
        let done = catch_unwind(AssertUnwindSafe(|| run(&op)));
        let word = word(&done);
        let claim = done.as_ref().ok().and_then(claim);
        history.write(&Event::Outcome {
            op: op.id,
            word,
            claim,
        });
        if let (Outcome::Other, Ok(Err(error))) = (word, &done) {
            eprintln!("operation {}: {error}", op.id);
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn connect(&self) -> Option<MysqlConnection> {
        let conn = self.connect_as(self.own_source());
        if conn.is_none() {
            self.unconnected(self.own_source());
        }
        conn
    }

    /// A connection that is like those of a source.
    pub(super) fn connect_as(&self, source: &str) -> Option<MysqlConnection> {
        let options = &self.worker.options;
        let url = if source.ends_with("-direct") {
            &options.direct
        } else {
            &options.proxied
        };
        MysqlConnection::establish(url).ok()
    }

    /// One at a time, for a while.
    fn keep_broken(&self, conn: Option<MysqlConnection>) {
        let mut broken = self.broken.borrow_mut();
        let is_old = |(since, _): &(Instant, _)| since.elapsed() > KEPT_BROKEN;
        if broken.as_ref().is_none_or(is_old) {
            *broken = conn.map(|conn| (Instant::now(), conn));
        }
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

    /// A line in the file of each lock: work outside of the database, which no transaction protects.
    pub(super) fn leave_trace(&self, word: &str, op: &Op<'_>) {
        let line = format!("{word} {} {}\n", self.worker.options.number, op.id);
        let mut traces = self.traces.borrow_mut();
        for name in op.target.names() {
            let name = name.to_string();
            let path = history::effects_file(&self.worker.effects, &name);
            let file = traces.entry(name).or_insert_with(|| {
                let file = OpenOptions::new().append(true).create(true).open(&path);
                file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            });
            if let Err(error) = file.write_all(line.as_bytes()) {
                panic!("{}: {error}", path.display());
            }
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
}

/// The word for what came of a call, a panic included.
fn word(done: &std::thread::Result<Done>) -> Outcome {
    match done {
        Ok(done) => outcome(done),
        Err(panic) if panic.is::<Deliberate>() => Outcome::Panicked,
        Err(_) => Outcome::Other,
    }
}
