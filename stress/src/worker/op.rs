//! One call that takes a lock, from the inside: what its body does, and what is written down.

use std::cell::RefCell;
use std::panic::panic_any;
use std::thread::sleep;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Unsigned};
use diesel_advisory_lock::{Lock, LockName, Lockable};
use stress_check::history::{Event, OpFault, WaitMs};

use super::error::outcome;
use super::thread::Thread;
use super::{Deliberate, Done, WorkError};
use crate::model::{Counter, SCHEMA, Target, Written, counter_name};
use crate::work::{Call, WaitFor};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Calm,
    Fails,
    Panics,
    /// Releases the lock by SQL of its own, so that the library finds it gone.
    Steals,
    /// Puts another connection in the index of the one that it was given.
    Swaps,
}

/// How long a body goes on without its lock, so that another session has it.
const LOST: Duration = Duration::from_millis(5);

/// A call, while it is made.
pub(crate) struct Op<'t> {
    pub(super) thread: &'t Thread<'t>,
    pub(super) id: u32,
    pub(crate) target: Target,
    pub(crate) wait: Duration,
    pub(super) ending: Ending,
    pub(super) dwell: Duration,
    pub(super) source: &'static str,
}

impl Op<'_> {
    /// The row as this thread has seen it last, which is stale more often than not.
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

    /// Calls `run` with the lock of the row, by this thread's last copy, and the timeout of the
    /// call.
    pub(crate) fn with_row<R>(&self, run: impl FnOnce(Lock<&mut Counter>) -> R) -> R {
        run(self.counter().lock().timeout(self.wait))
    }

    /// A random number below `count`.
    pub(crate) fn random_below(&self, count: u32) -> u32 {
        self.thread.random_below(count)
    }

    /// Records a fault of the worker's own, which it causes next.
    pub(crate) fn inject(&self, fault: OpFault) {
        let history = &self.thread.worker.history;
        history.write(&Event::Injected { op: self.id, fault });
    }

    /// The body of a lock: asks the server which session holds the lock, leaves a trace in the
    /// lock's file, does `act`, which returns what it wrote to counters, and ends as [`Ending`] says.
    pub(crate) fn body(
        &self,
        conn: &mut MysqlConnection,
        act: impl FnOnce(&mut MysqlConnection) -> Result<Vec<Written>, WorkError>,
    ) -> Result<(), WorkError> {
        self.run_body(conn, false, act)
    }

    /// A body that runs in a transaction, and calls no other operation. If it swaps connections, it
    /// may do all its work on the other one, in a transaction there.
    pub(crate) fn transaction_body(
        &self,
        conn: &mut MysqlConnection,
        act: impl FnOnce(&mut MysqlConnection) -> Result<Vec<Written>, WorkError>,
    ) -> Result<(), WorkError> {
        self.run_body(conn, true, act)
    }

    fn run_body(
        &self,
        conn: &mut MysqlConnection,
        in_transaction: bool,
        act: impl FnOnce(&mut MysqlConnection) -> Result<Vec<Written>, WorkError>,
    ) -> Result<(), WorkError> {
        let history = &self.thread.worker.history;
        let seen = self.witness(conn);
        let (session, holder) = match &seen {
            Ok(witness) => (Some(witness.session), witness.holder),
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
        seen?;
        self.thread.leave_trace("begin", self);
        let swaps = self.ending == Ending::Swaps;
        let is_swapped =
            swaps && in_transaction && self.random_below(2) == 0 && self.swap(conn, true);
        let wrote = act(conn)?;
        if !self.dwell.is_zero() {
            sleep(self.dwell);
        }
        match self.ending {
            Ending::Calm => {}
            Ending::Fails => return Err(WorkError::Deliberate),
            Ending::Panics => panic_any(Deliberate),
            Ending::Steals => {
                self.inject(OpFault::Theft);
                self.steal(conn)?;
                sleep(LOST);
            }
            Ending::Swaps => {
                if is_swapped || self.swap(conn, false) {
                    sleep(LOST);
                }
            }
        }
        self.thread.leave_trace("end", self);
        end.wrote.replace(wrote);
        Ok(())
    }

    /// The body of a lock that changes nothing in the database.
    pub(crate) fn plain_body(&self, conn: &mut MysqlConnection) -> Result<(), WorkError> {
        self.body(conn, |_| Ok(Vec::new()))
    }

    /// Another call, made inside of this one's body. Its failure is this body's, by another name.
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
            can_steal: false,
        };
        let done = self.thread.perform(&call, self.source, run);
        done.map_err(|error| WorkError::Inner(outcome(&Err(error))))
    }

    /// Not by a statement that is kept: one that fails while it is read must not run again.
    fn witness(&self, conn: &mut MysqlConnection) -> QueryResult<Witness> {
        let questions = self.target.names().into_iter().map(|name| {
            let full_name = name.full_name(SCHEMA);
            format!("IS_USED_LOCK('{full_name}') <=> CONNECTION_ID()")
        });
        let ours = questions.collect::<Vec<_>>().join(" AND ");
        let first = self.lock_name().full_name(SCHEMA);
        diesel::sql_query(format!(
            "SELECT CAST(CONNECTION_ID() AS UNSIGNED) AS session, \
             CAST(IF({ours}, CONNECTION_ID(), \
             NULLIF(IS_USED_LOCK('{first}'), CONNECTION_ID())) AS UNSIGNED) AS holder"
        ))
        .get_result(conn)
    }

    fn steal(&self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        let full_name = self.lock_name().full_name(SCHEMA);
        diesel::sql_query(format!("DO RELEASE_LOCK('{full_name}')")).execute(conn)
    }

    /// Swaps `conn` with another connection. The session that was there ends, and with it its lock.
    /// Returns `false` if there is no other connection.
    fn swap(&self, conn: &mut MysqlConnection, begin: bool) -> bool {
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

#[derive(QueryableByName)]
struct Witness {
    #[diesel(sql_type = Unsigned<BigInt>)]
    session: u64,
    /// This session if all locks are its own.
    #[diesel(sql_type = Nullable<Unsigned<BigInt>>)]
    holder: Option<u64>,
}

/// Writes down the body's end, however it ends.
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
