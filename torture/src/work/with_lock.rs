//! `with_lock` and `try_with_lock`.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::worker::{Done, Op, Reached};

pub(super) struct WithLock;

impl Way for WithLock {
    const NAME: &'static str = "with_lock";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Default;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        counter.with_lock(conn, |_, conn| op.plain_body(conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

impl FromPool for WithLock {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        counter.with_lock_from(pool, |_, conn| op.plain_body(conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

pub(super) struct TryWithLock;

impl Way for TryWithLock {
    const NAME: &'static str = "try_with_lock";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Nothing;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let ran = counter.try_with_lock(conn, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}

impl FromPool for TryWithLock {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let ran = counter.try_with_lock_from(pool, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}
