//! The public types of an inspection: [`LockStatus`], [`HeldLock`], [`InspectError`].

use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::name::{ParsedLockName, PostgresKey};
use crate::session::Session;

/// Whether a lock is free: the result of [`LockName::status`](crate::name::LockName::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStatus {
    /// No session holds it.
    Free,
    /// The session of the given connection holds it.
    HeldHere,
    /// Another session holds it.
    HeldBy {
        /// The holder's [`connection_id`](Session::connection_id). If several sessions share the
        /// lock, one of them.
        connection_id: u64,
    },
}

/// A lock that is held: an item of [`inspect::held_locks`](crate::inspect::held_locks).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldLock {
    /// The name of the lock, parsed. On PostgreSQL it may be unknown:
    /// [`LockedObject::Key`](crate::inspect::LockedObject::Key).
    pub name: ParsedLockName,
    /// The key of the lock on PostgreSQL; `None` on other servers.
    pub postgres_key: Option<PostgresKey>,
    /// The session that holds it. If several sessions share the lock, the one that has been idle or
    /// in its statement for the longest time.
    pub holder: Session,
    /// Whether it is held [shared](crate::Lock::shared).
    pub is_shared: bool,
    /// The further sessions that share the lock.
    pub other_holders: Vec<Session>,
    /// For how long [`holder`](Self::holder) has held it.
    pub held_for: HoldDuration,
    /// The sessions that wait for it on the server. Requests in the queue of a `LockPool` have no
    /// session yet.
    pub waiters: Vec<Session>,
}

/// For how long a lock has been held.
///
/// ```
/// use std::time::Duration;
/// use diesel_advisory_lock::inspect::HoldDuration;
///
/// fn readable(held_for: HoldDuration) -> String {
///     match held_for {
///         HoldDuration::Exactly(time) => format!("{time:.1?}"),
///         HoldDuration::AtLeast(time) => format!("at least {time:.1?}"),
///     }
/// }
/// assert_eq!(readable(HoldDuration::AtLeast(Duration::from_secs(3))), "at least 3.0s");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldDuration {
    /// Exactly this long, to the millisecond (MariaDB).
    Exactly(Duration),
    /// At least this long, in whole seconds: MySQL and PostgreSQL report only for how long the
    /// holder has been idle or in its current statement.
    AtLeast(Duration),
}

/// Why the locks of a server cannot be listed.
///
/// ```
/// # include!("../doctest_setup.rs");
/// use diesel_advisory_lock::inspect::{self, InspectError};
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// match inspect::held_locks(&mut conn) {
///     Ok(held) => println!("{} locks", held.len()),
///     Err(InspectError::MissingPlugin { remedy, .. }) => println!("install the plugin: {remedy}"),
///     Err(InspectError::Incomplete { held, lost, .. }) => {
///         println!("at least {} locks; {lost} records are missing", held.len());
///     }
///     Err(error) => println!("{error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The account may not read the server's list of locks.
    #[error(
        "this account may not read which session holds which lock; ask an administrator to run \
         {remedy}"
    )]
    #[non_exhaustive]
    MissingGrant {
        /// What an administrator must run, with `<account>` for the account.
        remedy: &'static str,
        /// What the server answered.
        source: DieselError,
    },

    /// MariaDB's plugin is not installed.
    #[error(
        "MariaDB reports which session holds which lock only with a plugin that is not installed; \
         ask an administrator to run {remedy}"
    )]
    #[non_exhaustive]
    MissingPlugin {
        /// What an administrator must run.
        remedy: &'static str,
        /// What the server answered.
        source: DieselError,
    },

    /// MySQL does not record locks.
    #[error("MySQL does not record which session holds which lock; to enable it, {remedy}")]
    #[non_exhaustive]
    NotRecorded {
        /// What an administrator must run and set.
        remedy: &'static str,
    },

    /// MySQL did not record every lock, because its table of metadata locks was full.
    ///
    /// The error carries the locks that could be read; others may be held, and other sessions may
    /// wait.
    #[error(
        "MySQL has not recorded {lost} metadata locks since its start, so locks or waiters may be \
         missing from the {} that it reports; to record all of them, {remedy}",
        held.len()
    )]
    #[non_exhaustive]
    Incomplete {
        /// The locks that could be read, as [`held_locks`](crate::inspect::held_locks) would return
        /// them.
        held: Vec<HeldLock>,
        /// How many metadata locks of any kind, those of tables included, MySQL has not recorded
        /// since it started: `Performance_schema_metadata_lock_lost`.
        ///
        /// No release decreases this counter, so the error is returned until the server restarts.
        /// `FLUSH STATUS` resets it to 0. Locks that were lost before may then be missing without
        /// this error.
        lost: u64,
        /// What an administrator must set.
        remedy: &'static str,
    },

    /// Any other database error.
    #[error("a database error occurred while listing locks; see the source of this error")]
    #[non_exhaustive]
    Database {
        /// The error as Diesel reports it.
        source: DieselError,
    },
}
