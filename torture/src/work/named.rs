//! `hold` and `try_hold` of a name without a row.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::worker::{Done, Op, Reached};

pub(super) struct Hold;

impl Way for Hold {
    const NAME: &'static str = "hold";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.hold(conn, |conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Hold {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.hold_from(pool, |conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

pub(super) struct TryHold;

impl Way for TryHold {
    const NAME: &'static str = "try_hold";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Nothing;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock();
        let ran = lock.try_hold(conn, |conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}

impl FromPool for TryHold {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let lock = op.lock_name().lock();
        let ran = lock.try_hold_from(pool, |conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}
