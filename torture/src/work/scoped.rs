//! `.scope(..)` on a model's lock.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::model::SCOPE;
use crate::worker::{Done, Op, Reached};

pub(super) struct Scoped;

impl Way for Scoped {
    const NAME: &'static str = "scope";
    const LOCKS: Locks = Locks::Scoped;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().scope(SCOPE).timeout(op.wait);
        lock.run(conn, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Scoped {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().scope(SCOPE).timeout(op.wait);
        lock.run_from(pool, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}
