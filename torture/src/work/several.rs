//! `lock_all`: two rows and a name at once, in whatever order they come. Taken in one order by everybody, they
//! never deadlock; each commit counts one in both rows.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockAll, LockName, LockSource, PoolSource, lock_all, lock_all_from};

use super::{FromPool, Locks, WaitFor, Way};
use crate::model::{Counter, Target};
use crate::worker::{Done, Op, Reached, WorkError};

/// What is locked: a row's scope, and two rows as they were seen last.
struct Set {
    name: LockName,
    rows: [Counter; 2],
}

impl Set {
    fn of(op: &Op<'_>) -> Self {
        let Target::Several { rows, scoped } = op.target else {
            unreachable!("`Locks::Several` targets several");
        };
        Self {
            name: Target::Scoped(scoped).name(),
            rows: [rows.0, rows.1].map(|id| op.copy(id)),
        }
    }

    fn all(&mut self) -> LockAll<(&LockName, &mut [Counter])> {
        LockAll::of((&self.name, &mut self.rows))
    }
}

fn increment(
    op: &Op<'_>,
    rows: &mut [Counter],
    conn: &mut MysqlConnection,
) -> Result<(), WorkError> {
    op.transaction_body(conn, |conn| {
        let written = rows.iter_mut().map(|row| row.increment(conn));
        Ok(written.collect::<Result<_, _>>()?)
    })
}

pub(super) struct Several;

impl Way for Several {
    const NAME: &'static str = "lock_all";
    const LOCKS: Locks = Locks::Several;
    const WAIT: WaitFor = WaitFor::Default;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut set = Set::of(op);
        let all = (&set.name, set.rows.as_mut_slice());
        lock_all(all, conn, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Several {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut set = Set::of(op);
        let all = (&set.name, set.rows.as_mut_slice());
        lock_all_from(all, pool, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

pub(super) struct TrySeveral;

impl Way for TrySeveral {
    const NAME: &'static str = "try_lock_all";
    const LOCKS: Locks = Locks::Several;
    const WAIT: WaitFor = WaitFor::Nothing;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut set = Set::of(op);
        let ran = set.all().try_run(conn, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}

impl FromPool for TrySeveral {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut set = Set::of(op);
        let ran = set
            .all()
            .try_run_from(pool, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Busy, |()| Reached::End))
    }
}

pub(super) struct SeveralInTransaction;

impl Way for SeveralInTransaction {
    const NAME: &'static str = "lock_all.transaction";
    const LOCKS: Locks = Locks::Several;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut set = Set::of(op);
        let lock = set.all().timeout(op.wait);
        lock.transaction(conn, |(_, rows), conn| increment(op, rows, conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for SeveralInTransaction {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut set = Set::of(op);
        let lock = set.all().timeout(op.wait);
        lock.transaction_from(pool, |(_, rows), conn| increment(op, rows, conn))?;
        Ok(Reached::End)
    }
}
