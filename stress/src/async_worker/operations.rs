//! The operations of an asynchronous worker: those of `work/` that differ for futures.

use std::slice;

use diesel_advisory_lock_async::{
    ConnectionPool, LockDsl, LockName, LockPool, LockSource, Lockable, lock_all, locked,
};
use diesel_async::{AnsiTransactionManager, TransactionManager};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::op::{Op, body};
use crate::model::{Counter, Target};
use crate::server::asynchronous::{self, Conn};
use crate::work::{Locks, WaitFor};
use crate::worker::{Done, Reached, WorkError, outcome};

/// An operation, whose name is its only identity.
pub(crate) struct Operation {
    pub(super) name: &'static str,
    pub(super) locks: Locks,
    pub(super) wait: WaitFor,
    pub(super) weight: usize,
    pub(super) may_lose_lock: bool,
}

impl Operation {
    pub(crate) const fn new(
        name: &'static str,
        locks: Locks,
        wait: WaitFor,
        weight: usize,
    ) -> Self {
        Self {
            name,
            locks,
            wait,
            weight,
            may_lose_lock: false,
        }
    }

    /// Its body may cause the loss of its lock.
    pub(crate) const fn may_lose_lock(mut self) -> Self {
        self.may_lose_lock = true;
        self
    }
}

/// The operations on every server.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation::new("with_lock", Locks::Row, WaitFor::Default, 4).may_lose_lock(),
    Operation::new("try_with_lock", Locks::Row, WaitFor::Nothing, 4).may_lose_lock(),
    Operation::new("transaction", Locks::Row, WaitFor::Chosen, 12).may_lose_lock(),
    Operation::new("try_transaction", Locks::Row, WaitFor::Nothing, 6).may_lose_lock(),
    Operation::new("scoped", Locks::Scoped, WaitFor::Chosen, 3).may_lose_lock(),
    Operation::new("name.run", Locks::Job, WaitFor::Chosen, 4).may_lose_lock(),
    Operation::new("name.try_run", Locks::Job, WaitFor::Nothing, 4).may_lose_lock(),
    Operation::new("acquire", Locks::Job, WaitFor::Chosen, 4).may_lose_lock(),
    Operation::new("try_acquire", Locks::Job, WaitFor::Nothing, 4).may_lose_lock(),
    Operation::new("dropped", Locks::Job, WaitFor::Chosen, 2),
    Operation::new("lock_all", Locks::Set, WaitFor::Default, 4).may_lose_lock(),
    Operation::new("lock_all.acquire", Locks::SameSet, WaitFor::Chosen, 4).may_lose_lock(),
    Operation::new("lock_all.transaction", Locks::Set, WaitFor::Chosen, 6).may_lose_lock(),
    Operation::new("same_set.transaction", Locks::SameSet, WaitFor::Chosen, 6).may_lose_lock(),
    Operation::new("overlapping_set", Locks::OverlappingSet, WaitFor::Chosen, 4).may_lose_lock(),
    Operation::new("left_open", Locks::Row, WaitFor::Chosen, 2),
    Operation::new("in_transaction", Locks::Row, WaitFor::Chosen, 2),
    Operation::new("nested", Locks::Row, WaitFor::Chosen, 6).may_lose_lock(),
    Operation::new("locked", Locks::Row, WaitFor::Default, 4).may_lose_lock(),
    Operation::new("locked(scope)", Locks::Scoped, WaitFor::Default, 4).may_lose_lock(),
    Operation::new("locked(transaction)", Locks::Row, WaitFor::Default, 6).may_lose_lock(),
];

/// The names of the methods must differ from those of a blocking worker.
impl Counter {
    #[locked(conn = conn)]
    async fn work_in_task<S: LockSource<Connection = Conn>>(
        &mut self,
        conn: &mut S,
        op: &Op,
    ) -> Result<(), WorkError> {
        body(op, conn.connection(), &mut []).await
    }

    /// Takes `&self`, so that the body works on a copy.
    #[locked(conn = conn, scope = "send")]
    async fn send_in_task<S: LockSource<Connection = Conn>>(
        &self,
        conn: &mut S,
        op: &Op,
    ) -> Result<(), WorkError> {
        body(op, conn.connection(), &mut []).await
    }

    #[locked(conn = conn, transaction)]
    async fn count_in_task<S: LockSource<Connection = Conn>>(
        &mut self,
        conn: &mut S,
        op: &Op,
    ) -> Result<(), WorkError> {
        body(op, conn.connection(), slice::from_mut(self)).await
    }
}

/// Changes the model in a re-entrant call, which must not reload it, and then by the outer call.
async fn nested(op: &Op, counter: &mut Counter, conn: &mut Conn) -> Result<(), WorkError> {
    let inner = op.nested("nested/inner");
    counter.value += 1;
    let call = counter.with_lock(conn, async |_, conn| body(&inner, conn, &mut []).await);
    let call = async { Some(call.boxed().await.map(|()| Reached::End)) };
    let done = inner.perform(None, call).boxed().await;
    let Some(done) = done else {
        // It panicked.
        return Err(WorkError::Deliberate);
    };
    if done.is_err() {
        return Err(WorkError::Inner(outcome(&done)));
    }
    // It has been changed once too often, unless it was reloaded.
    counter.value -= 1;
    body(op, conn, slice::from_mut(counter)).await
}

/// Makes a call. Futures are boxed, since Rust cannot prove that a task which contains them is
/// `Send`.
pub(super) fn run<'c, S>(op: &'c Op, conn: &'c mut S) -> BoxFuture<'c, Done>
where
    S: LockSource<Connection = Conn>,
{
    run_unboxed(op, conn).boxed()
}

async fn run_unboxed<S: LockSource<Connection = Conn>>(op: &Op, conn: &mut S) -> Done {
    let contended = |ran: Option<()>| ran.map_or(Reached::Contended, |()| Reached::End);
    let mut counter = op.counter();
    let name = op.target.name();
    match op.operation {
        "with_lock" => {
            let ran = counter.with_lock(conn, async |_, conn| body(op, conn, &mut []).await);
            ran.boxed().await?;
        }
        "try_with_lock" => {
            let ran = counter.try_with_lock(conn, async |_, conn| body(op, conn, &mut []).await);
            return Ok(contended(ran.boxed().await?));
        }
        "transaction" => {
            let lock = counter.lock().timeout(op.wait);
            let ran = lock.transaction(conn, async |counter, conn| {
                body(op, conn, slice::from_mut(counter)).await
            });
            ran.boxed().await?;
        }
        "try_transaction" => {
            let ran = counter.lock().try_transaction(conn, async |counter, conn| {
                body(op, conn, slice::from_mut(counter)).await
            });
            return Ok(contended(ran.boxed().await?));
        }
        "scoped" | "name.run" => {
            let lock = name.lock().timeout(op.wait);
            let ran = lock.run(conn, async |_, conn| body(op, conn, &mut []).await);
            ran.boxed().await?;
        }
        "name.try_run" => {
            let ran = name
                .lock()
                .try_run(conn, async |_, conn| body(op, conn, &mut []).await);
            return Ok(contended(ran.boxed().await?));
        }
        "acquire" => {
            let mut held = name.lock().timeout(op.wait).acquire(conn).boxed().await?;
            body(op, held.connection(), &mut []).await?;
            held.release().await?;
        }
        "try_acquire" => {
            let Some(mut held) = name.lock().try_acquire(conn).boxed().await? else {
                return Ok(Reached::Contended);
            };
            body(op, held.connection(), &mut []).await?;
            held.release().await?;
        }
        "dropped" => {
            let mut held = name.lock().timeout(op.wait).acquire(conn).boxed().await?;
            body(op, held.connection(), &mut []).await?;
            drop(held);
            return Ok(Reached::Cut);
        }
        "lock_all" => {
            let (name, mut rows) = set(op);
            let ran = lock_all((&name, &mut rows[..]))
                .run(conn, async |_, conn| body(op, conn, &mut []).await);
            ran.boxed().await?;
        }
        "lock_all.acquire" => {
            let (name, mut rows) = set(op);
            let lock = lock_all((&name, &mut rows[..])).timeout(op.wait);
            let mut held = lock.acquire(conn).boxed().await?;
            body(op, held.connection(), &mut []).await?;
            held.release().await?;
        }
        "lock_all.transaction" | "same_set.transaction" | "overlapping_set" => {
            let (name, mut rows) = set(op);
            let lock = lock_all((&name, &mut rows[..])).timeout(op.wait);
            let ran = lock.transaction(conn, async |(_, rows), conn| body(op, conn, rows).await);
            ran.boxed().await?;
        }
        "left_open" => {
            let lock = counter.lock().timeout(op.wait);
            let ran = lock.run(conn, async |_, conn: &mut Conn| {
                AnsiTransactionManager::begin_transaction(&mut *conn).await?;
                body(op, conn, &mut []).await
            });
            ran.boxed().await?;
        }
        "in_transaction" => {
            let lock = counter.lock().timeout(op.wait);
            let conn = conn.connection();
            AnsiTransactionManager::begin_transaction(&mut *conn).await?;
            let ran = lock.run(conn, async |_, conn| body(op, conn, &mut []).await);
            let ran: Result<(), WorkError> = ran.boxed().await;
            AnsiTransactionManager::rollback_transaction(conn).await?;
            ran?;
        }
        "nested" => {
            let lock = counter.lock().timeout(op.wait);
            let ran = lock.transaction(conn, async |counter, conn| nested(op, counter, conn).await);
            ran.boxed().await?;
        }
        "locked" => counter.work_in_task(conn, op).boxed().await?,
        "locked(scope)" => counter.send_in_task(conn, op).boxed().await?,
        "locked(transaction)" => counter.count_in_task(conn, op).boxed().await?,
        _ => return asynchronous::run(op, conn).await,
    }
    Ok(Reached::End)
}

/// Makes a call through a `LockPool`. Returns `None` for an operation that it has not.
pub(super) fn run_in_pool<'c, P>(op: &'c Op, locks: &'c LockPool<P>) -> Option<BoxFuture<'c, Done>>
where
    P: ConnectionPool<Connection = Conn>,
{
    let of_connections = ["left_open", "in_transaction"];
    let is_of_connections =
        of_connections.contains(&op.operation) || op.operation.starts_with("locked");
    let is_on_every_server = OPERATIONS.iter().any(|it| it.name == op.operation);
    let has = is_on_every_server && !is_of_connections;
    has.then(|| run_in_pool_unboxed(op, locks).boxed())
}

async fn run_in_pool_unboxed<P>(op: &Op, locks: &LockPool<P>) -> Done
where
    P: ConnectionPool<Connection = Conn>,
{
    let contended = |ran: Option<()>| ran.map_or(Reached::Contended, |()| Reached::End);
    let mut counter = op.counter();
    let name = op.target.name();
    match op.operation {
        "with_lock" => {
            let ran = locks.run(counter.lock(), async |_, conn| {
                body(op, conn, &mut []).await
            });
            ran.boxed().await?;
        }
        "try_with_lock" => {
            let ran = locks.try_run(counter.lock(), async |_, conn| {
                body(op, conn, &mut []).await
            });
            return Ok(contended(ran.boxed().await?));
        }
        "transaction" => {
            let lock = counter.lock().timeout(op.wait);
            let ran = locks.transaction(lock, async |counter, conn| {
                body(op, conn, slice::from_mut(counter)).await
            });
            ran.boxed().await?;
        }
        "try_transaction" => {
            let ran = locks.try_transaction(counter.lock(), async |counter, conn| {
                body(op, conn, slice::from_mut(counter)).await
            });
            return Ok(contended(ran.boxed().await?));
        }
        "nested" => {
            let lock = counter.lock().timeout(op.wait);
            let ran =
                locks.transaction(lock, async |counter, conn| nested(op, counter, conn).await);
            ran.boxed().await?;
        }
        "name.try_run" => {
            let ran = locks.try_run(name.lock(), async |_, conn| body(op, conn, &mut []).await);
            return Ok(contended(ran.boxed().await?));
        }
        "acquire" => {
            let mut held = locks.acquire(name.lock().timeout(op.wait)).boxed().await?;
            body(op, held.connection(), &mut []).await?;
            held.release().boxed().await?;
        }
        "try_acquire" => {
            let Some(mut held) = locks.try_acquire(name.lock()).boxed().await? else {
                return Ok(Reached::Contended);
            };
            body(op, held.connection(), &mut []).await?;
            held.release().boxed().await?;
        }
        "dropped" => {
            let mut held = locks.acquire(name.lock().timeout(op.wait)).boxed().await?;
            body(op, held.connection(), &mut []).await?;
            drop(held);
            return Ok(Reached::Cut);
        }
        "lock_all" => {
            let (name, mut rows) = set(op);
            let ran = locks.run(lock_all((&name, &mut rows[..])), async |_, conn| {
                body(op, conn, &mut []).await
            });
            ran.boxed().await?;
        }
        "lock_all.acquire" => {
            let (name, mut rows) = set(op);
            let lock = lock_all((&name, &mut rows[..])).timeout(op.wait);
            let mut held = locks.acquire(lock).boxed().await?;
            body(op, held.connection(), &mut []).await?;
            held.release().boxed().await?;
        }
        "lock_all.transaction" | "same_set.transaction" | "overlapping_set" => {
            let (name, mut rows) = set(op);
            let lock = lock_all((&name, &mut rows[..])).timeout(op.wait);
            let ran = locks.transaction(lock, async |(_, rows), conn| body(op, conn, rows).await);
            ran.boxed().await?;
        }
        _ => {
            let lock = name.lock().timeout(op.wait);
            let ran = locks.run(lock, async |_, conn| body(op, conn, &mut []).await);
            ran.boxed().await?;
        }
    }
    Ok(Reached::End)
}

/// The locked set: a scoped name, and stale copies of two rows.
fn set(op: &Op) -> (LockName, [Counter; 2]) {
    let Target::Set { rows, scoped } = op.target else {
        unreachable!("the target of a set is a set");
    };
    let rows = [rows.0, rows.1].map(|id| op.copy(id));
    (Target::Scoped(scoped).name(), rows)
}
