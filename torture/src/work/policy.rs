//! Another struct over the same rows, with a policy of its own: the same locks, less patience.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::LockSource;

use super::{Locks, WaitFor, Way};
use crate::model::Impatient;
use crate::worker::{Done, Op, Reached};

pub(super) struct Policy;

impl Way for Policy {
    const NAME: &'static str = "policy";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Impatient;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut row = Impatient {
            id: op.target.row(),
        };
        row.with_lock(conn, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}
