//! Settings and statements that change the session. The library must refuse the call, report an
//! error, or not depend on them.

use std::thread::sleep;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::{LockDsl, LockSource};
use stress_check::history::OpFault;

use super::Conn;
use crate::cli::WorkerFault;
use crate::model::Counter;
use crate::work::{Locks, Operation, WaitFor};
use crate::worker::{Done, Op, Reached};

/// A transaction before the call that Diesel does not know of. The call must be refused.
pub(super) struct RawBegin;

impl Operation for RawBegin {
    const NAME: &'static str = "raw_begin";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        conn.connection().batch_execute("BEGIN")?;
        op.inject(OpFault::RawBegin);
        op.run_or_transaction(conn)
    }
}

/// A body that begins a transaction without Diesel and does not commit it.
pub(super) struct RawBeginInBody;

impl Operation for RawBeginInBody {
    const NAME: &'static str = "settings_in_body";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let leave_open = |counter: &mut Counter, conn: &mut Conn| {
            op.body(conn, |conn| {
                op.inject(OpFault::RawBeginInBody);
                conn.batch_execute("BEGIN")?;
                counter.increment(conn)?;
                // A commit would give the counter a value that no call reports.
                Ok(Vec::new())
            })
        };
        op.with_row(|lock| lock.run(conn, leave_open))?;
        Ok(Reached::End)
    }
}

/// A `statement_timeout` that is shorter than many waits, to which it must not apply.
pub(super) struct StatementTimeout;

impl Operation for StatementTimeout {
    const NAME: &'static str = "statement_timeout";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.inject(OpFault::StatementTimeout);
        conn.connection()
            .batch_execute("SET statement_timeout = '2s'")?;
        op.run_or_transaction(conn)
    }
}

/// A body that changes the `search_path`, or resets all settings.
pub(super) struct Settings;

impl Operation for Settings {
    const NAME: &'static str = "settings";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let change = |counter: &mut Counter, conn: &mut Conn| {
            op.body(conn, |conn| {
                let wrote = vec![counter.increment(conn)?];
                let (fault, sql) = match op.random_below(2) {
                    0 => (OpFault::SearchPath, "SET search_path = pg_catalog"),
                    _ => (OpFault::ResetAll, "RESET ALL"),
                };
                op.inject(fault);
                conn.batch_execute(sql)?;
                Ok(wrote)
            })
        };
        op.with_row(|lock| lock.transaction(conn, change))?;
        Ok(Reached::End)
    }
}

/// A body that discards all that belongs to the session, with it the lock.
pub(super) struct DiscardAll;

impl Operation for DiscardAll {
    const NAME: &'static str = "discard_all";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let discard = |_: &mut Counter, conn: &mut Conn| {
            op.body(conn, |conn| {
                op.inject(OpFault::DiscardAll);
                conn.batch_execute("DISCARD ALL")?;
                sleep(Duration::from_millis(5));
                Ok(Vec::new())
            })
        };
        op.with_row(|lock| lock.run(conn, discard))?;
        Ok(Reached::End)
    }
}
