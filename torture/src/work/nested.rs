//! A lock inside of itself. The inner one must not read the row again: what the outer body has
//! changed and not saved yet would be gone, and its number written twice.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable};

use super::{Locks, WaitFor, Way};
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Nested;

impl Way for Nested {
    const NAME: &'static str = "nested";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction(conn, |counter, conn| {
            op.body(conn, |conn| {
                counter.value += 1;
                op.nested("nested/inner", op.target, WaitFor::Default, |inner| {
                    counter.with_lock(conn, |counter, conn| {
                        inner.body(conn, |conn| {
                            counter.save(conn)?;
                            Ok(None)
                        })
                    })?;
                    Ok::<_, WorkError>(Reached::End)
                })?;
                Ok(Some(counter.value))
            })
        })?;
        Ok(Reached::End)
    }
}
