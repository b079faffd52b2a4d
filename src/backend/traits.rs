//! [`Backend`], [`Inspect`], [`CheckServer`]: the traits that a backend implements.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use diesel::result::{Error as DieselError, QueryResult};

use super::answers::{AcquireError, Acquired, Held, ReacquireAnswer, ReleaseAnswer, Request};
use super::inspect::{HeldLock, InspectError, LockStatus};
use super::server_report::ServerReport;
use crate::driver::Driver;
use crate::name::KeySource;
use crate::session::Session;
use crate::transaction::TransactionContext;

/// What [`Backend::acquire`] returns.
pub(crate) type AcquireResult<B> = Result<
    Acquired<<B as Backend>::Key, <B as Backend>::SessionId>,
    AcquireError<<B as Backend>::Key>,
>;

/// A server with advisory locks.
pub trait Backend: Sized + Send + Sync + 'static {
    /// Diesel's backend.
    type Db: diesel::backend::Backend + 'static;

    /// A lock as the server knows it. Sets are sorted by it; the text is for diagnostics. A backend
    /// whose keys are numbers hashes the full name.
    type Key: AsRef<str> + Clone + fmt::Debug + Eq + Hash + Ord + Send + Sync;

    /// Identifies the session: a connection that was swapped or has reconnected has another one.
    type SessionId: Copy + fmt::Debug + PartialEq + Send + Sync;

    /// Acquires a lock, or waits for it. On an error the session holds no further lock.
    fn acquire<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        request: Request<'_>,
    ) -> impl Future<Output = AcquireResult<Self>> + Send;

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
    ) -> impl Future<Output = QueryResult<ReacquireAnswer>> + Send;

    /// Returns the session's number.
    fn session<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<Self::SessionId>> + Send;

    /// Returns keys to sort a set by, one for each name. They serve for nothing else, so a prefix
    /// that all of them share may be left out.
    fn sort_keys<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        sources: Vec<KeySource<'_>>,
    ) -> impl Future<Output = QueryResult<Vec<Self::Key>>> + Send;

    /// Returns whether two keys of a set may be the same lock on the server.
    fn may_be_same(one: &Self::Key, other: &Self::Key) -> bool {
        one == other
    }

    /// Ends the session, which releases its locks, and marks the connection as broken.
    fn end_session<D: Driver<Db = Self::Db>>(driver: &mut D) -> impl Future<Output = ()> + Send;

    /// Marks the connection as broken, so that a pool discards it. Its locks may be held until it
    /// closes.
    fn discard<D: Driver<Db = Self::Db>>(driver: &mut D) -> impl Future<Output = ()> + Send;

    /// Returns whether a failed statement may have begun to run, so that its effect is unknown.
    fn may_have_run<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        error: &DieselError,
    ) -> impl Future<Output = bool> + Send;

    /// Returns the session that holds a lock, if the server reports it within a second.
    fn holder<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        key: &Self::Key,
    ) -> impl Future<Output = Option<Session>> + Send;

    /// Raises the session's idle timeout to `at_least`. Returns the previous timeout if it was
    /// shorter.
    fn raise_idle_timeout<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        at_least: Duration,
    ) -> impl Future<Output = QueryResult<Option<Duration>>> + Send;

    /// Restores what [`raise_idle_timeout`](Self::raise_idle_timeout) has raised.
    fn restore_idle_timeout<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        timeout: Duration,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Begins the transaction of a `.transaction` form.
    fn begin<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        driver.begin()
    }

    /// Commits the transaction of a `.transaction` form.
    fn commit<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        driver.commit()
    }

    /// Rolls back any open transaction, also one that Diesel does not know of.
    fn roll_back_all<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send;
}

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
