//! Sessions in which every statement, or every COMMIT, begins a transaction that Diesel does not see. If they are so before
//! the call, it must be refused; if the body makes them so, that must be reported, unless the work is committed already.

use diesel::connection::{Connection, SimpleConnection};
use diesel::mysql::MysqlConnection;
use diesel::result::QueryResult;
use diesel_advisory_lock::{LockSource, Lockable};
use torture_check::history::OpFault;

use super::{Locks, WaitFor, Way};
use crate::cli::OwnFault;
use crate::worker::{Done, Op, Reached};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Setting {
    NoAutocommit,
    Chain,
}

impl Setting {
    fn chosen(op: &Op<'_>) -> Self {
        match op.die(2) {
            0 => Self::NoAutocommit,
            _ => Self::Chain,
        }
    }

    fn set_before(self, op: &Op<'_>, conn: &mut MysqlConnection) -> QueryResult<()> {
        op.strike(match self {
            Self::NoAutocommit => OpFault::NoAutocommit,
            Self::Chain => OpFault::Chain,
        });
        self.set(conn)
    }

    fn set_in_body(self, op: &Op<'_>, conn: &mut MysqlConnection) -> QueryResult<()> {
        op.strike(match self {
            Self::NoAutocommit => OpFault::NoAutocommitInBody,
            Self::Chain => OpFault::ChainInBody,
        });
        self.set(conn)
    }

    fn set(self, conn: &mut MysqlConnection) -> QueryResult<()> {
        conn.batch_execute(match self {
            Self::NoAutocommit => "SET autocommit = 0",
            Self::Chain => "SET completion_type = 'CHAIN'",
        })
    }
}

/// The defaults of a session.
pub(crate) const DEFAULTS: &str = "SET autocommit = 1, completion_type = 'NO_CHAIN'";

pub(super) struct Settings;

impl Way for Settings {
    const NAME: &'static str = "settings";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<OwnFault> = Some(OwnFault::Settings);
    const SETS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        Setting::chosen(op).set_before(op, conn.connection())?;
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        if op.die(2) == 0 {
            lock.run(conn, |counter, conn| {
                op.body(conn, |conn| Ok(vec![counter.increment(conn)?]))
            })?;
        } else {
            lock.transaction(conn, |counter, conn| {
                op.body(conn, |conn| Ok(vec![counter.increment(conn)?]))
            })?;
        }
        Ok(Reached::End)
    }
}

pub(super) struct SettingsInBody;

impl Way for SettingsInBody {
    const NAME: &'static str = "settings_in_body";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<OwnFault> = Some(OwnFault::Settings);
    const SETS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.run(conn, |counter, conn| {
            op.body(conn, |conn| {
                let setting = Setting::chosen(op);
                setting.set_in_body(op, conn)?;
                if setting == Setting::Chain {
                    // Its COMMIT begins the transaction that is left open.
                    conn.transaction(|_| QueryResult::Ok(()))?;
                }
                counter.increment(conn)?;
                // Never to be committed: if it is, the counter goes through a number that no operation reported.
                Ok(Vec::new())
            })
        })?;
        Ok(Reached::End)
    }
}

pub(super) struct SettingsInTransaction;

impl Way for SettingsInTransaction {
    const NAME: &'static str = "settings_in_transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<OwnFault> = Some(OwnFault::Settings);
    const SETS: bool = true;
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction(conn, |counter, conn| {
            op.body(conn, |conn| {
                Setting::chosen(op).set_in_body(op, conn)?;
                Ok(vec![counter.increment(conn)?])
            })
        })?;
        Ok(Reached::End)
    }
}
