//! [`Backend`], [`Inspect`], [`CheckServer`]: the traits that a backend implements.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use diesel::result::{Error as DieselError, QueryResult};

use super::answers::{
    AcquireError, Acquired, CommitError, Condition, Held, ReacquireAnswer, ReleaseAnswer, Request,
};
use super::inspect::{HeldLock, InspectError, LockStatus};
use super::server_report::ServerReport;
use crate::deadline::Wait;
use crate::driver::Driver;
use crate::mode::LockMode;
use crate::name::KeySource;
use crate::session::Session;
use crate::transaction::TransactionContext;

/// What [`Backend::acquire`] returns.
pub(crate) type AcquireResult<B> = Result<
    Acquired<<B as Backend>::Key, <B as Backend>::SessionId>,
    AcquireError<<B as Backend>::Key>,
>;

/// What [`Backend::begin_with_locks`] returns.
pub(crate) type BeginResult<B> = Result<
    Option<Vec<Acquired<<B as Backend>::Key, <B as Backend>::SessionId>>>,
    (usize, AcquireError<<B as Backend>::Key>),
>;

/// What [`Backend::sort_keys`] returns.
pub(crate) type SortResult<B> =
    Result<Vec<<B as Backend>::Key>, (usize, AcquireError<<B as Backend>::Key>)>;

/// A server with advisory locks.
pub trait Backend: Sized + Send + Sync + 'static {
    /// Diesel's backend.
    type Db: diesel::backend::Backend + 'static;

    /// A lock as the server knows it. Sets are sorted by it; the text is for diagnostics. A backend
    /// whose keys are numbers hashes the full name.
    type Key: AsRef<str> + Clone + fmt::Debug + Eq + Hash + Ord + Send + Sync;

    /// Identifies the session: a connection that was swapped or has reconnected has another one.
    type SessionId: Copy + fmt::Debug + Send + Sync;

    /// Limits on the idle time of a session.
    type IdleTimeouts: fmt::Debug + Send + Sync;

    /// Whether [`begin_with_locks`](Self::begin_with_locks) is implemented.
    const BEGINS_WITH_LOCKS: bool = false;

    /// Whether a lock that the session held just before a COMMIT is held after it, too. It is not
    /// if a nested call of the transaction may have been its only holder.
    const COMMIT_KEEPS_LOCKS: bool = true;

    /// Whether locks may be named by PostgreSQL's keys.
    const HAS_POSTGRES_KEYS: bool = false;

    /// Acquires a lock, or waits for it. On an error the session holds no further lock.
    fn acquire<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        request: Request<'_>,
    ) -> impl Future<Output = AcquireResult<Self>> + Send;

    /// Begins a transaction and acquires locks that end with it, in their order, on a session
    /// without a transaction. Returns `None`, and does nothing, if the locks must be acquired
    /// before the transaction begins. On an error no transaction is open and no lock is held; the
    /// number is the lock's index.
    fn begin_with_locks<D: Driver<Db = Self::Db>>(
        _driver: &mut D,
        _locks: &[KeySource<'_>],
        _wait: Wait,
        _mode: LockMode,
    ) -> impl Future<Output = BeginResult<Self>> + Send {
        async { Ok(None) }
    }

    /// Whether the lock outlives a transaction that was begun under it. If not, COMMIT releases it.
    fn outlives_transaction(_key: &Self::Key) -> bool {
        true
    }

    /// Releases one hold of the lock. If an open transaction would outlive the lock, nothing is
    /// released.
    fn release<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        key: &Self::Key,
        context: TransactionContext,
    ) -> impl Future<Output = ReleaseAnswer> + Send;

    /// Returns whether the session holds all of these locks, and whether it is fit for a new
    /// caller.
    fn are_held<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        keys: &[&Self::Key],
        context: TransactionContext,
    ) -> impl Future<Output = QueryResult<Held>> + Send;

    /// Releases a lock to the sessions that wait for it, and acquires it again if there are none.
    fn release_and_reacquire<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        key: &Self::Key,
    ) -> impl Future<Output = ReacquireAnswer> + Send;

    /// Returns whether this is the session that acquired a lock.
    fn is_session<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        session: Self::SessionId,
    ) -> impl Future<Output = QueryResult<bool>> + Send;

    /// Returns keys to sort a set by, one for each name. They serve for nothing else, so a prefix
    /// that all of them share may be left out. The number of an error is the name's index.
    fn sort_keys<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        sources: Vec<KeySource<'_>>,
    ) -> impl Future<Output = SortResult<Self>> + Send;

    /// Returns whether two keys of a set may be the same lock on the server.
    fn may_be_same(one: &Self::Key, other: &Self::Key) -> bool {
        one == other
    }

    /// Ends the session, which releases its locks, and marks the connection as broken.
    fn end_session<D: Driver<Db = Self::Db>>(driver: &mut D) -> impl Future<Output = ()> + Send;

    /// Marks the connection as broken, so that a pool discards it. Its locks may be held until it
    /// closes.
    fn discard<D: Driver<Db = Self::Db>>(driver: &mut D) -> impl Future<Output = ()> + Send;

    /// Returns whether a query that failed must not run again on this connection.
    fn must_not_run_again<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        error: &DieselError,
    ) -> impl Future<Output = bool> + Send;

    /// Returns the session that holds a lock, if the server reports it within a second.
    fn holder<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        key: &Self::Key,
    ) -> impl Future<Output = Option<Session>> + Send;

    /// Raises the session's idle timeouts to `at_least`. Returns the previous timeouts if one was
    /// shorter.
    fn raise_idle_timeouts<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        at_least: Duration,
    ) -> impl Future<Output = QueryResult<Option<Self::IdleTimeouts>>> + Send;

    /// Restores what [`raise_idle_timeouts`](Self::raise_idle_timeouts) has raised.
    fn restore_idle_timeouts<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        timeouts: Self::IdleTimeouts,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Begins the transaction of a `.transaction` form.
    fn begin<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        driver.begin()
    }

    /// Commits the innermost transaction or savepoint, like [`Driver::commit`].
    fn commit_transaction<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        driver.commit()
    }

    /// Commits the transaction of a `.transaction` form, if the session proves that it holds the
    /// locks.
    fn commit<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        keys: &[&Self::Key],
    ) -> impl Future<Output = Result<Condition, CommitError>> + Send {
        prove_and_commit::<Self, D>(driver, keys)
    }

    /// Rolls back any open transaction, also one that Diesel does not know of.
    fn roll_back_all<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send;
}

/// The proof in one round trip, and then the COMMIT.
pub(crate) async fn prove_and_commit<B: Backend, D: Driver<Db = B::Db>>(
    driver: &mut D,
    keys: &[&B::Key],
) -> Result<Condition, CommitError> {
    let condition = match keys {
        [] => Condition::Clean,
        keys => match B::are_held(driver, keys, TransactionContext::Transaction).await {
            Ok(Held::All(Condition::TransactionOpen)) => return Err(CommitError::TransactionOpen),
            Ok(Held::All(condition)) => condition,
            Ok(Held::Missing(index)) => return Err(CommitError::NotHeld(index)),
            Err(error) => return Err(CommitError::NoAnswer(error)),
        },
    };
    let is_savepoint = is_in_savepoint(driver);
    match B::commit_transaction(driver).await {
        Ok(()) => Ok(condition),
        // The server has answered neither the COMMIT nor the ROLLBACK after it. The transaction
        // around a savepoint was not committed.
        Err(source @ DieselError::RollbackErrorOnCommit { .. }) => Err(match is_savepoint {
            true => CommitError::NoAnswer(source),
            false => CommitError::Unknown(source),
        }),
        Err(source) => Err(CommitError::Failed(source)),
    }
}

/// Whether the innermost transaction is a savepoint.
pub(crate) fn is_in_savepoint<D: Driver>(driver: &mut D) -> bool {
    let depth = driver.transaction_status().transaction_depth();
    depth.is_ok_and(|depth| depth.is_some_and(|depth| depth.get() > 1))
}

/// A server whose locks can be held by a transaction.
pub trait TransactionLocks: Backend {
    /// Acquires a lock that ends with the open transaction. The request's context is not used.
    fn acquire_until_commit<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        request: Request<'_>,
    ) -> impl Future<Output = AcquireResult<Self>> + Send;
}

/// A server whose locks can be shared.
pub trait SharedLocks: Backend {}

/// A server that lists its locks.
pub trait Inspect: Backend {
    /// Returns whether a lock is free.
    fn status<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        lock: KeySource<'_>,
    ) -> impl Future<Output = QueryResult<LockStatus>> + Send;

    /// Lists the locks of this crate that are held.
    fn held_locks<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = Result<Vec<HeldLock>, InspectError>> + Send;
}

/// A server that can be checked.
pub trait CheckServer: Backend {
    /// Checks the server, for a program that leaves a session idle under a lock for up to
    /// `keep_alive`.
    fn check_server<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        keep_alive: Option<Duration>,
    ) -> impl Future<Output = QueryResult<ServerReport>> + Send;
}
