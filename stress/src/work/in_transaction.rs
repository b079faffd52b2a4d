//! A lock inside an open transaction, which must be refused: the snapshot may predate the lock, and
//! the release would precede COMMIT. If the lock were acquired, increments would be lost.

use std::thread::sleep;
use std::time::Duration;

use crate::server::Conn;
use diesel::Connection;
use diesel_advisory_lock::{LockDsl, LockSource, Lockable};

use super::{Locks, Operation, WaitFor};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct InTransaction;

impl Operation for InTransaction {
    const NAME: &'static str = "in_transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        conn.connection().transaction(|conn| {
            let mut counter = Counter::load(op.target.id(), conn)?;
            sleep(Duration::from_micros(300));
            let lock = counter.lock().timeout(op.wait);
            lock.run(conn, |counter, conn| op.increment(counter, conn))?;
            Ok::<_, WorkError>(Reached::End)
        })
    }
}
