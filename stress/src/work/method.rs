//! `#[locked]` methods.

use crate::server::Conn;
use diesel_advisory_lock::{LockSource, locked};

use super::{Locks, Operation, WaitFor};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

impl Counter {
    #[locked]
    fn work(
        &mut self,
        conn: &mut impl LockSource<Connection = Conn>,
        op: &Op<'_>,
    ) -> Result<(), WorkError> {
        op.plain_body(conn.connection())
    }

    /// Takes `&self`, so that the body works on a copy. The scope is the method's name, which is
    /// [`SCOPE`](crate::model::SCOPE).
    #[locked(scope)]
    fn send(
        &self,
        conn: &mut impl LockSource<Connection = Conn>,
        op: &Op<'_>,
    ) -> Result<(), WorkError> {
        op.plain_body(conn.connection())
    }

    #[locked(transaction)]
    fn count(
        &mut self,
        conn: &mut impl LockSource<Connection = Conn>,
        op: &Op<'_>,
    ) -> Result<(), WorkError> {
        op.transaction_body(conn.connection(), |conn| Ok(vec![self.increment(conn)?]))
    }
}

pub(super) struct Locked;

impl Operation for Locked {
    const NAME: &'static str = "locked";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Default;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.counter().work(conn, op)?;
        Ok(Reached::End)
    }
}

pub(super) struct LockedScope;

impl Operation for LockedScope {
    const NAME: &'static str = "locked(scope)";
    const LOCKS: Locks = Locks::Scoped;
    const WAIT: WaitFor = WaitFor::Default;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.counter().send(conn, op)?;
        Ok(Reached::End)
    }
}

pub(super) struct LockedTransaction;

impl Operation for LockedTransaction {
    const NAME: &'static str = "locked(transaction)";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Default;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.counter().count(conn, op)?;
        Ok(Reached::End)
    }
}
