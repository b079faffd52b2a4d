//! Session settings under which every statement, or every COMMIT, begins a transaction that Diesel
//! does not see. If they are set before the call, the call must be refused. If the body sets them,
//! the call must return an error.

use crate::server::Conn;
use diesel::connection::{Connection, SimpleConnection};
use diesel::result::QueryResult;
use diesel_advisory_lock::{LockDsl, LockSource};
use stress_check::history::OpFault;

use crate::cli::WorkerFault;
use crate::model::Counter;
use crate::work::{Locks, Operation, WaitFor};
use crate::worker::{Done, Op, Reached, WorkError};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    NoAutocommit,
    Chain,
}

impl Setting {
    fn chosen(op: &Op<'_>) -> Self {
        match op.random_below(2) {
            0 => Self::NoAutocommit,
            _ => Self::Chain,
        }
    }

    fn set_before(self, op: &Op<'_>, conn: &mut Conn) -> QueryResult<()> {
        op.inject(match self {
            Self::NoAutocommit => OpFault::NoAutocommit,
            Self::Chain => OpFault::Chain,
        });
        self.set(conn)
    }

    fn set_in_body(self, op: &Op<'_>, conn: &mut Conn) -> QueryResult<()> {
        op.inject(match self {
            Self::NoAutocommit => OpFault::NoAutocommitInBody,
            Self::Chain => OpFault::ChainInBody,
        });
        self.set(conn)
    }

    fn set(self, conn: &mut Conn) -> QueryResult<()> {
        conn.batch_execute(match self {
            Self::NoAutocommit => "SET autocommit = 0",
            Self::Chain => "SET completion_type = 'CHAIN'",
        })
    }
}

pub(super) struct Settings;

impl Operation for Settings {
    const NAME: &'static str = "settings";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        Setting::chosen(op).set_before(op, conn.connection())?;
        op.run_or_transaction(conn)
    }
}

pub(super) struct SettingsInBody;

impl Operation for SettingsInBody {
    const NAME: &'static str = "settings_in_body";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| lock.run(conn, |counter, conn| set_in_body(op, counter, conn)))?;
        Ok(Reached::End)
    }
}

fn set_in_body(op: &Op<'_>, counter: &mut Counter, conn: &mut Conn) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        let setting = Setting::chosen(op);
        setting.set_in_body(op, conn)?;
        if setting == Setting::Chain {
            // This COMMIT begins the transaction that is left open.
            conn.transaction(|_| QueryResult::Ok(()))?;
        }
        counter.increment(conn)?;
        // A commit would give the counter a value that no call reports.
        Ok(Vec::new())
    })
}

pub(super) struct SettingsInTransaction;

impl Operation for SettingsInTransaction {
    const NAME: &'static str = "settings_in_transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Settings);
    const CHANGES_SETTINGS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| {
            lock.transaction(conn, |counter, conn| {
                op.body(conn, |conn| {
                    Setting::chosen(op).set_in_body(op, conn)?;
                    Ok(vec![counter.increment(conn)?])
                })
            })
        })?;
        Ok(Reached::End)
    }
}
