//! Another struct over the same rows, with a policy of its own: the same locks, less patience.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::model::Impatient;
use crate::worker::{Done, Op, Reached};

pub(super) struct Policy;

impl Way for Policy {
    const NAME: &'static str = "policy";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Impatient;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut row = Impatient { id: op.target.id() };
        row.with_lock(conn, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Policy {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut row = Impatient { id: op.target.id() };
        row.with_lock_from(pool, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}
