//! A thread of a worker: one random call after another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel_advisory_lock::{LockName, LockPool};
use fastrand::Rng;
use stress_check::history::{self, Event, Outcome};

use super::connections::{Named, Pool, is_broken, record_held, restore_settings};
use super::error::{claim, outcome};
use super::op::Op;
use super::{Deliberate, Done, Worker};
use crate::model::Counter;
use crate::server::{self, Conn};
use crate::work::{Call, Entry, OPERATIONS, RunInPool};

pub(crate) mod rng;

use rng::Choices;

/// How long a broken connection stays open: longer than the checker allows other calls to wait for
/// a leaked lock.
const KEPT_BROKEN: Duration = Duration::from_secs(8);

/// The end of a source's name whose connections bypass the proxy.
const DIRECT: &str = "-direct";

pub(super) struct Thread<'w> {
    pub(super) worker: &'w Worker,
    number: u16,
    /// The source of the thread's own connection.
    own_source: String,
    pub(super) choices: Choices,
    /// The rows as this thread saw them last.
    copies: RefCell<HashMap<i64, Counter>>,
    effects: RefCell<HashMap<String, File>>,
    /// A broken connection that stays open. The library must have released its lock.
    broken: RefCell<Option<(Instant, Conn)>>,
    /// Each operation as often as its weight.
    operations: Vec<&'static Entry>,
    pool_operations: Vec<(&'static Entry, RunInPool)>,
}

impl<'w> Thread<'w> {
    pub(super) fn new(worker: &'w Worker, number: u16) -> Self {
        let options = &worker.options;
        let is_direct = number.is_multiple_of(2);
        let own = if is_direct { "plain-direct" } else { "plain" };
        let is_enabled = |fault| options.faults.has(fault);
        let operations: Vec<_> = OPERATIONS
            .iter()
            .chain(server::OPERATIONS)
            .filter(|operation| operation.causes.is_none_or(is_enabled))
            .flat_map(|operation| vec![operation; operation.weight])
            .collect();
        let pool_operations = operations.iter();
        let pool_operations = pool_operations.filter_map(|&it| Some((it, it.in_pool?)));
        Self {
            worker,
            number,
            own_source: worker.endpoint(is_direct).source(own),
            choices: Choices::new(
                &options.faults,
                Rng::with_seed(options.seed ^ (u64::from(number) << 48)),
            ),
            copies: RefCell::default(),
            effects: RefCell::default(),
            broken: RefCell::default(),
            pool_operations: pool_operations.collect(),
            operations,
        }
    }

    pub(super) fn run(&self) {
        let mut own = None;
        let pools = &self.worker.pools;
        while !self.worker.is_stopping() {
            match self.choices.random_below(20) {
                0..=5 => self.call_on_own(&mut own),
                6..=7 => self.call_on_pooled(&pools.full_size),
                8..=9 => self.call_on_pooled(&pools.undersized),
                10..=11 => self.call_in_pool(&pools.fair_lock_pool),
                12..=16 => self.call_in_pool(&pools.lock_pool),
                _ => self.call_in_pool(&pools.undersized_lock_pool),
            }
        }
        if let Some(mut conn) = own {
            record_held(&self.own_source, &mut conn, &self.worker.history);
        }
    }

    /// Makes a call on the thread's own connection, which is replaced once it is broken.
    fn call_on_own(&self, own: &mut Option<Conn>) {
        let Some(conn) = own else {
            *own = self.connect();
            return;
        };
        let operation = self.choices.pick(&self.operations);
        let run = |op: &Op<'_>| (operation.plain)(op, conn);
        let outcome = self.top_level(operation, &self.own_source, run);
        if operation.changes_settings {
            restore_settings(conn);
        }
        if is_broken(conn) {
            self.keep_broken(own.take());
        } else if outcome == Outcome::BodyDatabase {
            *own = None;
        }
    }

    /// Makes a call on a connection that this thread checks out.
    fn call_on_pooled(&self, pool: &Named<Pool>) {
        let Ok(mut conn) = pool.pool.get() else {
            self.unconnected(&pool.name);
            return;
        };
        let operation = self.choices.pick(&self.operations);
        let run = |op: &Op<'_>| (operation.pooled)(op, &mut conn);
        self.top_level(operation, &pool.name, run);
        if operation.changes_settings {
            restore_settings(&mut conn);
        }
    }

    /// Makes a call through a `LockPool`.
    fn call_in_pool(&self, locks: &Named<LockPool<Conn>>) {
        let (operation, run) = self.choices.pick(&self.pool_operations);
        self.top_level(operation, &locks.name, |op| run(op, &locks.pool));
    }

    fn top_level(
        &self,
        operation: &Entry,
        source: &str,
        run: impl FnOnce(&Op<'_>) -> Done,
    ) -> Outcome {
        let call = Call {
            operation: operation.name,
            target: self.choices.target(operation.locks),
            wait: operation.wait,
            may_lose_lock: operation.may_lose_lock,
        };
        let done = catch_unwind(AssertUnwindSafe(|| self.perform(&call, source, run)));
        outcome_of(&done)
    }

    /// Makes a call and records it.
    pub(super) fn perform(
        &self,
        call: &Call,
        source: &str,
        run: impl FnOnce(&Op<'_>) -> Done,
    ) -> Done {
        let op = Op {
            thread: self,
            id: self.worker.next_op.fetch_add(1, Ordering::Relaxed),
            operation: call.operation,
            target: call.target,
            wait: self.choices.wait(call.wait),
            ending: self.choices.ending(call),
            dwell: self.choices.dwell(call.target),
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
            operation: op.operation,
            names: &names.join("+"),
            wait: op.wait_ms(),
            source,
        });
        let done = catch_unwind(AssertUnwindSafe(|| run(&op)));
        let word = outcome_of(&done);
        let claim = done.as_ref().ok().and_then(claim);
        history.write(&Event::Outcome {
            op: op.id,
            word,
            claim,
        });
        if let (Outcome::Other, Ok(Err(error))) = (word, &done) {
            eprintln!("call {}: {error}", op.id);
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn connect(&self) -> Option<Conn> {
        let conn = self.connect_as(&self.own_source);
        if conn.is_none() {
            self.unconnected(&self.own_source);
        }
        conn
    }

    /// Opens a connection like those of a source.
    pub(super) fn connect_as(&self, source: &str) -> Option<Conn> {
        let is_direct = source.ends_with(DIRECT);
        self.worker.endpoint(is_direct).connect()
    }

    /// Keeps a broken connection open for a while, one at a time.
    fn keep_broken(&self, conn: Option<Conn>) {
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

    pub(super) fn count_cycle(&self) {
        self.worker.cycles.fetch_add(1, Ordering::Relaxed);
    }

    /// Appends a line to the file of each lock. No transaction protects these files.
    pub(super) fn append_effect(&self, word: &str, op: &Op<'_>) {
        let line = format!("{word} {} {}\n", self.worker.options.number, op.id);
        let mut effects = self.effects.borrow_mut();
        for name in op.target.names() {
            let name = name.to_string();
            let path = history::effects_file(&self.worker.effects, &name);
            let file = effects.entry(name).or_insert_with(|| {
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

/// The outcome of a call, including a panic.
fn outcome_of(done: &std::thread::Result<Done>) -> Outcome {
    match done {
        Ok(done) => outcome(done),
        Err(panic) if panic.is::<Deliberate>() => Outcome::Panicked,
        Err(_) => Outcome::Other,
    }
}
