//! `.transaction` and `.try_transaction`: each commit that is reported counts one.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable};

use super::{Locks, WaitFor, Way};
use crate::worker::{Done, Op, Reached};

pub(super) struct Transaction;

impl Way for Transaction {
    const NAME: &'static str = "transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 12;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction(conn, |counter, conn| {
            op.body(conn, |conn| Ok(Some(counter.increment(conn)?)))
        })?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

pub(super) struct TryTransaction;

impl Way for TryTransaction {
    const NAME: &'static str = "try_transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Nothing;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let ran = counter.lock().try_transaction(conn, |counter, conn| {
            op.body(conn, |conn| Ok(Some(counter.increment(conn)?)))
        })?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}
