//! [`Backend`], [`Inspect`], [`CheckServer`]: what a server must be able to do.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use diesel::result::{Error as DieselError, QueryResult};

use super::answers::{AcquireError, Acquired, Held, ReacquireAnswer, ReleaseAnswer, Request};
use super::inspect::{HeldLock, InspectError, LockStatus};
use super::server_report::ServerReport;
use crate::driver::Driver;
use crate::holder::Session;
use crate::name::KeySource;
use crate::transaction::TransactionContext;

/// What [`Backend::acquire`] returns.
pub(crate) type AcquireResult<B> = Result<
    Acquired<<B as Backend>::Key, <B as Backend>::Session>,
    AcquireError<<B as Backend>::Key>,
>;

/// A server with advisory locks.
pub trait Backend: Sized + Send + Sync + 'static {
    /// Its SQL dialect, in Diesel's terms.
    type Db: diesel::backend::Backend + 'static;

    /// A lock, as the server is asked for it. Sets are sorted by it, and the text is for people.
    type Key: AsRef<str> + Clone + fmt::Debug + Eq + Hash + Ord + Send + Sync;

    /// A number that tells the session from those before and after it on the connection.
    type Session: Copy + fmt::Debug + PartialEq + Send + Sync;

    /// Acquires a lock, or waits for it. On an error nothing is left behind.
    fn acquire<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        request: Request<'_>,
    ) -> impl Future<Output = AcquireResult<Self>> + Send;

    /// Releases a lock once, unless a transaction is open that would outlive it.
    fn release<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        key: &Self::Key,
        context: TransactionContext,
    ) -> impl Future<Output = ReleaseAnswer> + Send;

    /// Whether the session holds all of these locks, and what else a new caller would find.
    fn are_held<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        keys: &[&Self::Key],
        context: TransactionContext,
    ) -> impl Future<Output = QueryResult<Held>> + Send;

    /// Offers a lock to the sessions that wait for it, and takes it again if there are none.
    fn release_and_reacquire<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        key: &Self::Key,
    ) -> impl Future<Output = QueryResult<ReacquireAnswer>> + Send;

    /// The session's number.
    fn session<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<Self::Session>> + Send;

    /// Keys to sort a set by, one for each name. What all names share may be left out.
    fn sort_keys<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        sources: Vec<KeySource<'_>>,
    ) -> impl Future<Output = QueryResult<Vec<Self::Key>>> + Send;

    /// Whether two keys of a set may be one lock to the server.
    fn may_be_same(one: &Self::Key, other: &Self::Key) -> bool {
        one == other
    }

    /// Ends the session, and with it everything that it holds, and marks the connection as broken.
    fn end_session<D: Driver<Db = Self::Db>>(driver: &mut D) -> impl Future<Output = ()> + Send;

    /// Makes sure that no pool hands the connection out again. Its locks may live until it closes.
    fn discard<D: Driver<Db = Self::Db>>(driver: &mut D) -> impl Future<Output = ()> + Send;

    /// Whether a statement that failed may have begun to run, so that its effect is unknown.
    fn may_have_run<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        error: &DieselError,
    ) -> impl Future<Output = bool> + Send;

    /// The session that holds a lock, as far as the server says within a second.
    fn holder<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        key: &Self::Key,
    ) -> impl Future<Output = Option<Session>> + Send;

    /// Keeps the server from ending the session while it is idle for as long. Returns the timeout
    /// that was there, if it was too short and has been raised.
    fn raise_idle_timeout<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        at_least: Duration,
    ) -> impl Future<Output = QueryResult<Option<Duration>>> + Send;

    /// Sets back what [`raise_idle_timeout`](Self::raise_idle_timeout) has raised.
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

    /// Rolls back whatever is open, also what Diesel does not know of.
    fn roll_back_all<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send;
}

/// A server that lists its locks.
pub trait Inspect: Backend {
    /// Whether a lock is free.
    fn status<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        lock: KeySource<'_>,
    ) -> impl Future<Output = QueryResult<LockStatus>> + Send;

    /// All locks of this crate that are held.
    fn held_locks<D: Driver<Db = Self::Db>>(
        driver: &mut D,
    ) -> impl Future<Output = Result<Vec<HeldLock>, InspectError>> + Send;
}

/// A server that says what it is.
pub trait CheckServer: Backend {
    /// What there is to know of it, for a program that is silent under a lock for up to
    /// `keep_alive`.
    fn check_server<D: Driver<Db = Self::Db>>(
        driver: &mut D,
        keep_alive: Option<Duration>,
    ) -> impl Future<Output = QueryResult<ServerReport>> + Send;
}
