//! A lock inside of itself. The inner one must not read the row again: what the outer body has
//! changed and not saved yet would be gone, and its number written twice.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::model::{Counter, Written};
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
        lock.transaction(conn, |counter, conn| count_inside(op, counter, conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Nested {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction_from(pool, |counter, conn| count_inside(op, counter, conn))?;
        Ok(Reached::End)
    }
}

fn count_inside(
    op: &Op<'_>,
    counter: &mut Counter,
    conn: &mut MysqlConnection,
) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        counter.value += 1;
        op.nested("nested/inner", op.target, WaitFor::Default, |inner| {
            counter.with_lock(conn, |counter, conn| {
                inner.body(conn, |conn| {
                    counter.save(conn)?;
                    Ok(Vec::new())
                })
            })?;
            Ok::<_, WorkError>(Reached::End)
        })?;
        let &mut Counter { id, value } = counter;
        Ok(vec![Written { id, value }])
    })
}
