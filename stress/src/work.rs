//! The operations of the stress test, each of which acquires locks in its own way.
//!
//! To add one, implement [`Operation`] in a file of `work/`, and [`PoolOperation`] if a
//! [`LockPool`] can do it, too. Then add a line to [`OPERATIONS`]. Those of one server are in the
//! module `server`.

mod crossing;
mod guard;
mod in_transaction;
mod leak;
mod left_open;
mod method;
mod misspelled;
mod named;
mod nested;
mod panicking;
mod policy;
mod scoped;
mod set;
mod transaction;
mod with_lock;

use diesel_advisory_lock::{LockPool, LockSource};

use crate::cli::WorkerFault;
use crate::model::Target;
use crate::server::Conn;
use crate::worker::{Done, Op, Pooled};

/// One way to acquire locks.
pub(crate) trait Operation {
    /// Its name in the history. It begins with `shared` if the locks are shared.
    const NAME: &'static str;
    const LOCKS: Locks;
    const WAIT: WaitFor;
    /// Whether its body may cause the loss of its lock, by a theft or by a swap of connections.
    const MAY_LOSE_LOCK: bool = false;
    /// The fault that the operation exists for.
    const CAUSES: Option<WorkerFault> = None;
    /// Whether it changes settings of the session, which must be restored after it.
    const CHANGES_SETTINGS: bool = false;
    /// How often it is chosen, compared with the others.
    const WEIGHT: usize = 4;

    /// Makes one call on a connection of the worker. Its body is [`Op::body`], [`Op::plain_body`]
    /// or [`Op::transaction_body`].
    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done;
}

/// An operation that a [`LockPool`] can do, too.
trait PoolOperation: Operation {
    /// Makes one call through the pool.
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done;
}

/// What an operation locks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Locks {
    Row,
    Scoped,
    Job,
    Misspelled,
    /// A set of any rows.
    Set,
    /// The one set that many calls lock.
    SameSet,
    /// One of a few sets, any two of which have a row in common.
    OverlappingSet,
}

/// How long an operation waits for its locks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitFor {
    /// For the default timeout of the library.
    Default,
    /// Not at all.
    Nothing,
    /// For the timeout of `Impatient`.
    Impatient,
    /// For a random timeout, which is [`Op::wait`].
    Chosen,
}

/// A call that is about to be made.
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) target: Target,
    pub(crate) wait: WaitFor,
    pub(crate) may_lose_lock: bool,
}

/// An operation, as a value.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) locks: Locks,
    pub(crate) wait: WaitFor,
    pub(crate) may_lose_lock: bool,
    pub(crate) causes: Option<WorkerFault>,
    pub(crate) changes_settings: bool,
    pub(crate) weight: usize,
    pub(crate) plain: fn(&Op<'_>, &mut Conn) -> Done,
    pub(crate) pooled: fn(&Op<'_>, &mut Pooled) -> Done,
    pub(crate) in_pool: Option<RunInPool>,
}

/// How a [`LockPool`] does an operation.
pub(crate) type RunInPool = fn(&Op<'_>, &LockPool<Conn>) -> Done;

/// The operations on every server.
pub(crate) static OPERATIONS: &[Entry] = &[
    entry_with_pool::<with_lock::WithLock>(),
    entry_with_pool::<with_lock::TryWithLock>(),
    entry_with_pool::<transaction::Transaction>(),
    entry_with_pool::<transaction::TryTransaction>(),
    entry::<method::Locked>(),
    entry::<method::LockedScope>(),
    entry::<method::LockedTransaction>(),
    entry_with_pool::<scoped::Scoped>(),
    entry_with_pool::<named::Run>(),
    entry_with_pool::<named::TryRun>(),
    entry_with_pool::<named::Transaction>(),
    entry_with_pool::<guard::Acquire>(),
    entry_with_pool::<guard::TryAcquire>(),
    entry_with_pool::<guard::AcquireSet>(),
    entry_with_pool::<guard::Dropped>(),
    entry_with_pool::<policy::Policy>(),
    entry_with_pool::<set::Run>(),
    entry_with_pool::<set::TryRun>(),
    entry_with_pool::<set::Transaction>(),
    entry_with_pool::<set::SameSet>(),
    entry_with_pool::<set::SameSetInTransaction>(),
    entry_with_pool::<set::OverlappingSet>(),
    entry_with_pool::<nested::Nested>(),
    entry_with_pool::<nested::NestedCopy>(),
    entry_with_pool::<crossing::Crossing>(),
    entry::<in_transaction::InTransaction>(),
    entry_with_pool::<left_open::LeftOpen>(),
    entry_with_pool::<leak::Leak>(),
    entry_with_pool::<misspelled::Misspelled>(),
    entry::<panicking::Panicking>(),
];

/// An operation that only a connection of the worker can do.
pub(crate) const fn entry<O: Operation>() -> Entry {
    Entry {
        name: O::NAME,
        locks: O::LOCKS,
        wait: O::WAIT,
        may_lose_lock: O::MAY_LOSE_LOCK,
        causes: O::CAUSES,
        changes_settings: O::CHANGES_SETTINGS,
        weight: O::WEIGHT,
        plain: O::run::<Conn>,
        pooled: O::run::<Pooled>,
        in_pool: None,
    }
}

/// An operation that a [`LockPool`] can do, too.
const fn entry_with_pool<O: PoolOperation>() -> Entry {
    Entry {
        in_pool: Some(O::run_in_pool),
        ..entry::<O>()
    }
}
