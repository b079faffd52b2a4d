//! The ways of locking, a file each.
//!
//! A new one is a type that implements [`Way`] (or several, where they differ in a word), and a line
//! in [`WAYS`].

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
mod settings;
mod several;
mod transaction;
mod with_lock;

use diesel::mysql::MysqlConnection;
pub(crate) use settings::DEFAULTS;

use diesel_advisory_lock::{LockPool, LockSource, PoolSource};

use crate::cli::OwnFault;
use crate::model::Target;
use crate::worker::{Done, Op, Pool, Pooled};

/// A way of locking.
trait Way {
    /// In the history.
    const NAME: &'static str;
    const LOCKS: Locks;
    const WAIT: WaitFor;
    /// Whether a body may lose its lock by its own doing: by a theft, or by a swap of connections.
    const CAN_STEAL: bool = false;
    /// The fault that it is there for.
    const CAUSES: Option<OwnFault> = None;
    /// Whether it leaves settings of the session behind that others must not find.
    const SETS: bool = false;
    /// How often it comes up.
    const WEIGHT: usize = 4;

    /// One call. Its body is [`Op::body`] or [`Op::plain_body`].
    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done;
}

/// A way that can also take its connection from a pool itself.
trait FromPool: Way {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done;
}

/// What a way locks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Locks {
    Row,
    Scoped,
    Job,
    Misspelled,
    Several,
}

/// How long it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitFor {
    /// As the library does that was not told.
    Default,
    Nothing,
    /// As `Impatient` does.
    Impatient,
    /// As the dice say, and [`Op::wait`] then.
    Chosen,
}

/// A call that is going to be made.
pub(crate) struct Call {
    pub(crate) way: &'static str,
    pub(crate) target: Target,
    pub(crate) wait: WaitFor,
    pub(crate) can_steal: bool,
}

/// A way, for tables.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) locks: Locks,
    pub(crate) wait: WaitFor,
    pub(crate) can_steal: bool,
    pub(crate) causes: Option<OwnFault>,
    pub(crate) sets: bool,
    pub(crate) weight: usize,
    pub(crate) plain: fn(&Op<'_>, &mut MysqlConnection) -> Done,
    pub(crate) pooled: fn(&Op<'_>, &mut Pooled) -> Done,
    pub(crate) from_pool: Option<FromPools>,
}

/// The forms of one way that take a pool.
#[derive(Clone, Copy)]
pub(crate) struct FromPools {
    pub(crate) pool: fn(&Op<'_>, &Pool) -> Done,
    pub(crate) lock_pool: fn(&Op<'_>, &LockPool<MysqlConnection>) -> Done,
}

pub(crate) static WAYS: &[Entry] = &[
    both::<with_lock::WithLock>(),
    both::<with_lock::TryWithLock>(),
    both::<transaction::Transaction>(),
    both::<transaction::TryTransaction>(),
    entry::<method::Locked>(),
    entry::<method::LockedScope>(),
    entry::<method::LockedTransaction>(),
    both::<scoped::Scoped>(),
    both::<named::Hold>(),
    both::<named::TryHold>(),
    both::<guard::Acquire>(),
    both::<guard::TryAcquire>(),
    both::<guard::Forgotten>(),
    both::<policy::Policy>(),
    both::<several::Several>(),
    both::<several::TrySeveral>(),
    both::<several::SeveralInTransaction>(),
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

/// Of a way that needs a connection.
const fn entry<W: Way>() -> Entry {
    Entry {
        name: W::NAME,
        locks: W::LOCKS,
        wait: W::WAIT,
        can_steal: W::CAN_STEAL,
        causes: W::CAUSES,
        sets: W::SETS,
        weight: W::WEIGHT,
        plain: W::run::<MysqlConnection>,
        pooled: W::run::<Pooled>,
        from_pool: None,
    }
}

/// Of a way that can do with a pool, too.
const fn both<W: FromPool>() -> Entry {
    Entry {
        from_pool: Some(FromPools {
            pool: W::run_from::<Pool>,
            lock_pool: W::run_from::<LockPool<MysqlConnection>>,
        }),
        ..entry::<W>()
    }
}
