//! The operations of the stress test, each of which acquires locks in one operation.
//!
//! To add one, implement [`Operation`] in a file of `work/`, and [`PoolOperation`] if a
//! [`LockPool`] can do it too, and add a line to [`OPERATIONS`].

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
mod settings;
mod transaction;
mod with_lock;

use diesel::mysql::MysqlConnection;
pub(crate) use settings::DEFAULTS;

use diesel_advisory_lock::{LockPool, LockSource};

use crate::cli::WorkerFault;
use crate::model::Target;
use crate::worker::{Done, Op, Pooled};

/// One operation to acquire locks.
trait Operation {
    /// In the history.
    const NAME: &'static str;
    const LOCKS: Locks;
    const WAIT: WaitFor;
    /// Whether a body may lose its lock by its own doing: by a theft, or by a swap of connections.
    const CAN_STEAL: bool = false;
    /// The fault that the operation exists for.
    const CAUSES: Option<WorkerFault> = None;
    /// Whether it leaves settings of the session behind that other operations must not find.
    const SETS: bool = false;
    /// How often it is chosen, compared with the others.
    const WEIGHT: usize = 4;

    /// One call, on a connection of the caller's. Its body is [`Op::body`] or [`Op::plain_body`].
    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done;
}

/// An operation that a [`LockPool`] can do too.
trait PoolOperation: Operation {
    /// One call, through the pool.
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done;
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
    /// The one set that many workers lock.
    SameSet,
    /// One of a few sets, each two of which have a row in common.
    OverlappingSet,
}

/// How long an operation waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitFor {
    /// For the library's default timeout.
    Default,
    /// Not at all.
    Nothing,
    /// For the timeout of `Impatient`.
    Impatient,
    /// For a random time, which is [`Op::wait`].
    Chosen,
}

/// A call that is about to be made.
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) target: Target,
    pub(crate) wait: WaitFor,
    pub(crate) can_steal: bool,
}

/// An operation, as a value.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) locks: Locks,
    pub(crate) wait: WaitFor,
    pub(crate) can_steal: bool,
    pub(crate) causes: Option<WorkerFault>,
    pub(crate) sets: bool,
    pub(crate) weight: usize,
    pub(crate) plain: fn(&Op<'_>, &mut MysqlConnection) -> Done,
    pub(crate) pooled: fn(&Op<'_>, &mut Pooled) -> Done,
    pub(crate) in_pool: Option<RunInPool>,
}

/// How a [`LockPool`] does an operation.
pub(crate) type RunInPool = fn(&Op<'_>, &LockPool<MysqlConnection>) -> Done;

pub(crate) static OPERATIONS: &[Entry] = &[
    both::<with_lock::WithLock>(),
    both::<with_lock::TryWithLock>(),
    both::<transaction::Transaction>(),
    both::<transaction::TryTransaction>(),
    entry::<method::Locked>(),
    entry::<method::LockedScope>(),
    entry::<method::LockedTransaction>(),
    both::<scoped::Scoped>(),
    both::<named::Run>(),
    both::<named::TryRun>(),
    both::<named::Transaction>(),
    both::<guard::Acquire>(),
    both::<guard::TryAcquire>(),
    both::<guard::AcquireSet>(),
    both::<guard::Dropped>(),
    both::<policy::Policy>(),
    both::<set::Run>(),
    both::<set::TryRun>(),
    both::<set::Transaction>(),
    both::<set::SameSet>(),
    both::<set::SameSetInTransaction>(),
    both::<set::OverlappingSet>(),
    both::<nested::Nested>(),
    both::<nested::NestedCopy>(),
    both::<crossing::Crossing>(),
    entry::<in_transaction::InTransaction>(),
    both::<left_open::LeftOpen>(),
    both::<leak::Leak>(),
    both::<misspelled::Misspelled>(),
    entry::<panicking::Panicking>(),
    entry::<settings::Settings>(),
    entry::<settings::SettingsInBody>(),
    entry::<settings::SettingsInTransaction>(),
];

/// An operation that needs a connection of the caller's.
const fn entry<O: Operation>() -> Entry {
    Entry {
        name: O::NAME,
        locks: O::LOCKS,
        wait: O::WAIT,
        can_steal: O::CAN_STEAL,
        causes: O::CAUSES,
        sets: O::SETS,
        weight: O::WEIGHT,
        plain: O::run::<MysqlConnection>,
        pooled: O::run::<Pooled>,
        in_pool: None,
    }
}

/// An operation that a pool can do too.
const fn both<O: PoolOperation>() -> Entry {
    Entry {
        in_pool: Some(O::run_in_pool),
        ..entry::<O>()
    }
}
