//! `.transaction` and `.try_transaction`: each commit that is reported counts one.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Transaction;

impl Way for Transaction {
    const NAME: &'static str = "transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 12;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction(conn, |counter, conn| increment(op, counter, conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

impl FromPool for Transaction {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction_from(pool, |counter, conn| increment(op, counter, conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

pub(super) struct TryTransaction;

impl Way for TryTransaction {
    const NAME: &'static str = "try_transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Nothing;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let ran = counter
            .lock()
            .try_transaction(conn, |counter, conn| increment(op, counter, conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}

impl FromPool for TryTransaction {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock();
        let ran = lock.try_transaction_from(pool, |counter, conn| increment(op, counter, conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}

fn increment(
    op: &Op<'_>,
    counter: &mut Counter,
    conn: &mut MysqlConnection,
) -> Result<(), WorkError> {
    op.transaction_body(conn, |conn| Ok(vec![counter.increment(conn)?]))
}
