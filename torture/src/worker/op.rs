//! One call that takes a lock, from the inside: what its body does, and what is written down.

use std::cell::Cell;
use std::panic::panic_any;
use std::thread::sleep;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::LockName;
use torture_check::history::{Event, WaitMs};

use super::error::outcome;
use super::thread::Thread;
use super::{Deliberate, Done, WorkError};
use crate::model::{Counter, SCHEMA, Target, counter_name};
use crate::work::{Call, WaitFor};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Calm,
    Fails,
    Panics,
    /// Gives the lock back by SQL of its own, so that the library finds it gone.
    Steals,
}

/// A call, while it is made.
pub(crate) struct Op<'t> {
    pub(super) thread: &'t Thread<'t>,
    pub(super) id: u32,
    pub(crate) target: Target,
    pub(crate) wait: Duration,
    pub(super) mood: Mood,
    pub(super) dwell: Duration,
    pub(super) source: &'static str,
}

impl Op<'_> {
    /// The row as this thread has seen it last, which is stale more often than not.
    pub(crate) fn counter(&self) -> Counter {
        self.thread.copy(self.target.row())
    }

    pub(crate) fn keep(&self, counter: Counter) {
        self.thread.keep(counter);
    }

    pub(crate) fn lock_name(&self) -> LockName {
        self.target.name()
    }

    /// Throws a die with so many sides.
    pub(crate) fn die(&self, sides: u32) -> u32 {
        self.thread.die(sides)
    }

    /// The body of a lock: asks the server whose lock it is, leaves a trace in the lock's file, does
    /// `act`, which may give the value that it wrote to the counter, and ends as its mood says.
    pub(crate) fn body(
        &self,
        conn: &mut MysqlConnection,
        act: impl FnOnce(&mut MysqlConnection) -> Result<Option<i64>, WorkError>,
    ) -> Result<(), WorkError> {
        let history = &self.thread.worker.history;
        let seen = self.witness(conn);
        let (session, holder) = match &seen {
            Ok(witness) => (Some(witness.session), witness.holder),
            Err(_) => (None, None),
        };
        history.write(&Event::Granted {
            op: self.id,
            session,
            holder,
        });
        self.thread.count_cycle();
        let end = End {
            op: self,
            wrote: Cell::new(None),
        };
        seen?;
        self.thread.leave_trace("begin", self);
        let wrote = act(conn)?;
        if !self.dwell.is_zero() {
            sleep(self.dwell);
        }
        match self.mood {
            Mood::Calm => {}
            Mood::Fails => return Err(WorkError::Deliberate),
            Mood::Panics => panic_any(Deliberate),
            Mood::Steals => {
                history.write(&Event::Stolen { op: self.id });
                self.steal(conn)?;
                // Somebody else has it now, and this body still runs.
                sleep(Duration::from_millis(5));
            }
        }
        self.thread.leave_trace("end", self);
        end.wrote.set(wrote);
        Ok(())
    }

    /// The body of a lock that changes nothing in the database.
    pub(crate) fn plain_body(&self, conn: &mut MysqlConnection) -> Result<(), WorkError> {
        self.body(conn, |_| Ok(None))
    }

    /// Another call, made inside of this one's body. Its failure is this body's, by another name.
    pub(crate) fn nested(
        &self,
        way: &'static str,
        target: Target,
        wait: WaitFor,
        run: impl FnOnce(&Op<'_>) -> Done,
    ) -> Done {
        let call = Call {
            way,
            target,
            wait,
            can_steal: false,
        };
        let done = self.thread.perform(&call, self.source, run);
        done.map_err(|error| WorkError::Inner(outcome(&Err(error))))
    }

    fn witness(&self, conn: &mut MysqlConnection) -> QueryResult<Witness> {
        diesel::select((
            connection_id(),
            is_used_lock(self.lock_name().written(SCHEMA)),
        ))
        .get_result(conn)
    }

    fn steal(&self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        let written = self.lock_name().written(SCHEMA);
        diesel::sql_query(format!("DO RELEASE_LOCK('{written}')")).execute(conn)
    }

    pub(super) fn wait_ms(&self) -> WaitMs {
        WaitMs(u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX))
    }
}

#[derive(Queryable)]
struct Witness {
    session: u64,
    holder: Option<u64>,
}

#[diesel::declare_sql_function]
extern "SQL" {
    #[sql_name = "CONNECTION_ID"]
    fn connection_id() -> Unsigned<BigInt>;
    #[sql_name = "IS_USED_LOCK"]
    fn is_used_lock(name: Text) -> Nullable<Unsigned<BigInt>>;
}

/// Writes down the body's end, however it ends.
struct End<'o> {
    op: &'o Op<'o>,
    wrote: Cell<Option<i64>>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let wrote = self.wrote.get().map_or("-".to_owned(), |value| {
            format!("{}={value}", counter_name(self.op.target.row()))
        });
        self.op.thread.worker.history.write(&Event::End {
            op: self.op.id,
            wrote: &wrote,
        });
    }
}
