//! A key that is spelled otherwise than the row's, and finds it all the same: the lock is not the row's, so the body must
//! not run.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockAll, LockSource, Lockable, PoolSource};
use torture_check::history::OpFault;

use super::{FromPool, Locks, WaitFor, Way};
use crate::cli::OwnFault;
use crate::model::Label;
use crate::worker::{Done, Op, Reached};

pub(super) struct Misspelled;

impl Way for Misspelled {
    const NAME: &'static str = "misspelled";
    const LOCKS: Locks = Locks::Misspelled;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<OwnFault> = Some(OwnFault::Misspelled);
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.strike(OpFault::Misspelled);
        let mut label = Label::misspelled(op.target.id());
        match op.die(3) {
            0 => {
                let lock = label.lock().timeout(op.wait);
                lock.run(conn, |_, conn| op.plain_body(conn))?;
            }
            1 => {
                let lock = label.lock().timeout(op.wait);
                lock.transaction(conn, |_, conn| op.plain_body(conn))?;
            }
            _ => {
                let lock = LockAll::of(&mut label).timeout(op.wait);
                lock.run(conn, |_, conn| op.plain_body(conn))?;
            }
        }
        Ok(Reached::End)
    }
}

impl FromPool for Misspelled {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        op.strike(OpFault::Misspelled);
        let mut label = Label::misspelled(op.target.id());
        let lock = label.lock().timeout(op.wait);
        lock.transaction_from(pool, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}
