//! One call that acquires locks: what its body does, and what it records.

use std::cell::RefCell;
use std::panic::panic_any;
use std::thread::sleep;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel_advisory_lock::{Lock, LockDsl, LockName, LockSource, Lockable};
use stress_check::history::{Event, OpFault, WaitMs};

use super::error::outcome;
use super::thread::Thread;
use super::{Deliberate, Done, Reached, WorkError};
use crate::model::{Counter, Target, Written, counter_name};
use crate::server::{self, Conn};
use crate::work::{Call, WaitFor};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Normal,
    Fails,
    Panics,
    /// Releases the lock by SQL, so that the library finds it lost.
    Steals,
    /// Swaps its connection with another one.
    Swaps,
}

/// How long a body goes on without its lock, so that another session acquires it.
pub(crate) const WITHOUT_LOCK: Duration = Duration::from_millis(5);

/// A call that is being made.
pub(crate) struct Op<'t> {
    pub(super) thread: &'t Thread<'t>,
    pub(super) id: u32,
    /// Its name in the history.
    pub(crate) operation: &'static str,
    pub(crate) target: Target,
    pub(crate) wait: Duration,
    pub(super) ending: Ending,
    pub(super) dwell: Duration,
    pub(super) source: &'t str,
}

impl Op<'_> {
    /// The row as this thread saw it last, which is usually stale.
    pub(crate) fn counter(&self) -> Counter {
        self.copy(self.target.id())
    }

    pub(crate) fn copy(&self, id: i64) -> Counter {
        self.thread.copy(id)
    }

    pub(crate) fn keep(&self, counter: Counter) {
        self.thread.keep(counter);
    }

    pub(crate) fn lock_name(&self) -> LockName {
        self.target.name()
    }

    /// Calls `run` with the lock of the row and the timeout of the call. The model is this thread's
    /// last copy.
    pub(crate) fn with_row<R>(&self, run: impl FnOnce(Lock<&mut Counter>) -> R) -> R {
        run(self.counter().lock().timeout(self.wait))
    }

    /// A random number below `count`.
    pub(crate) fn random_below(&self, count: u32) -> u32 {
        self.thread.choices.random_below(count)
    }

    /// Records a fault that this worker is about to cause.
    pub(crate) fn inject(&self, fault: OpFault) {
        let history = &self.thread.worker.history;
        history.write(&Event::Injected { op: self.id, fault });
    }

    /// Runs the body of a lock. It asks the server which session holds the lock, appends to the
    /// lock's file, calls `act`, which returns what it wrote to counters, and ends as [`Ending`]
    /// says.
    pub(crate) fn body(
        &self,
        conn: &mut Conn,
        act: impl FnOnce(&mut Conn) -> Result<Vec<Written>, WorkError>,
    ) -> Result<(), WorkError> {
        self.run_body(conn, false, act)
    }

    /// Runs a body in a transaction, without nested calls. If the body swaps connections, it may do
    /// all its work on the other one, in a transaction there.
    pub(crate) fn transaction_body(
        &self,
        conn: &mut Conn,
        act: impl FnOnce(&mut Conn) -> Result<Vec<Written>, WorkError>,
    ) -> Result<(), WorkError> {
        self.run_body(conn, true, act)
    }

    fn run_body(
        &self,
        conn: &mut Conn,
        in_transaction: bool,
        act: impl FnOnce(&mut Conn) -> Result<Vec<Written>, WorkError>,
    ) -> Result<(), WorkError> {
        let history = &self.thread.worker.history;
        let found = server::holder(self, conn);
        let (session, holder) = match &found {
            Ok(found) => (
                Some(found.session.unsigned_abs()),
                found.holder.map(i64::unsigned_abs),
            ),
            Err(_) => (None, None),
        };
        history.write(&Event::Acquired {
            op: self.id,
            session,
            holder,
        });
        self.thread.count_cycle();
        let end = End {
            op: self,
            wrote: RefCell::default(),
        };
        found?;
        self.thread.append_effect("begin", self);
        let swaps = self.ending == Ending::Swaps;
        let is_swapped =
            swaps && in_transaction && self.random_below(2) == 0 && self.swap(conn, true);
        let wrote = act(conn)?;
        if !self.dwell.is_zero() {
            sleep(self.dwell);
        }
        match self.ending {
            Ending::Normal => {}
            Ending::Fails => return Err(WorkError::Deliberate),
            Ending::Panics => panic_any(Deliberate),
            Ending::Steals => {
                server::steal(self, conn)?;
                sleep(WITHOUT_LOCK);
            }
            Ending::Swaps => {
                if is_swapped || self.swap(conn, false) {
                    sleep(WITHOUT_LOCK);
                }
            }
        }
        self.thread.append_effect("end", self);
        end.wrote.replace(wrote);
        Ok(())
    }

    /// Runs a body that changes nothing in the database.
    pub(crate) fn plain_body(&self, conn: &mut Conn) -> Result<(), WorkError> {
        self.body(conn, |_| Ok(Vec::new()))
    }

    /// Runs a body that increments the counter.
    pub(crate) fn increment(
        &self,
        counter: &mut Counter,
        conn: &mut Conn,
    ) -> Result<(), WorkError> {
        self.body(conn, |conn| Ok(vec![counter.increment(conn)?]))
    }

    /// Calls `.run` or `.transaction` on the row.
    pub(crate) fn run_or_transaction<S: LockSource<Connection = Conn>>(
        &self,
        conn: &mut S,
    ) -> Done {
        self.with_row(|lock| match self.random_below(2) {
            0 => lock.run(conn, |_, conn| self.plain_body(conn)),
            _ => lock.transaction(conn, |counter, conn| self.increment(counter, conn)),
        })?;
        Ok(Reached::End)
    }

    /// Makes a nested call. Its error becomes a [`WorkError::Inner`].
    pub(crate) fn nested(
        &self,
        operation: &'static str,
        target: Target,
        wait: WaitFor,
        run: impl FnOnce(&Op<'_>) -> Done,
    ) -> Done {
        let call = Call {
            operation,
            target,
            wait,
            may_lose_lock: false,
        };
        let done = self.thread.perform(&call, self.source, run);
        done.map_err(|error| WorkError::Inner(outcome(&Err(error))))
    }

    /// Swaps `conn` with another connection, which ends its session and releases its lock. Returns
    /// `false` if there is no other connection.
    fn swap(&self, conn: &mut Conn, begin: bool) -> bool {
        let Some(mut other) = self.thread.connect_as(self.source) else {
            return false;
        };
        if begin && AnsiTransactionManager::begin_transaction(&mut other).is_err() {
            return false;
        }
        self.inject(OpFault::Swap);
        std::mem::swap(conn, &mut other);
        true
    }

    pub(super) fn wait_ms(&self) -> WaitMs {
        WaitMs(u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Records the end of the body on drop, so also after an error or a panic.
struct End<'o> {
    op: &'o Op<'o>,
    wrote: RefCell<Vec<Written>>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let wrote = self.wrote.take();
        let wrote: Vec<_> = wrote
            .iter()
            .map(|&Written { id, value }| format!("{}={value}", counter_name(id)))
            .collect();
        let wrote = wrote.join("+");
        self.op.thread.worker.history.write(&Event::End {
            op: self.op.id,
            wrote: if wrote.is_empty() { "-" } else { &wrote },
        });
    }
}
