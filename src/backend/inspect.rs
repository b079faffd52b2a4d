//! What a server says of its locks.

use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::holder::Session;
use crate::name::ParsedLockName;

/// Whether a lock is free, as far as the connection that was asked is concerned.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::LockStatus;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let job = LockName::named("job");
/// let mut held = job.lock().acquire(&mut conn)?;
/// assert_eq!(job.status(&mut held)?, LockStatus::HeldHere);
/// assert!(matches!(job.status(&mut establish_connection())?, LockStatus::HeldBy { .. }));
/// # held.release()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStatus {
    /// No session holds it.
    Free,
    /// The session of the connection that was asked holds it.
    HeldHere,
    /// Another session holds it.
    HeldBy {
        /// What `CONNECTION_ID()` is there, and what `KILL` takes.
        connection_id: u64,
    },
}

/// A lock that is held.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::inspect;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let watching = &mut establish_connection();
/// # let held = LockName::row(notifications::table, 42).lock().acquire(&mut conn)?;
/// # if let Ok(all) = inspect::held_locks(watching) {
/// # let all = all.into_iter().filter(|lock| lock.name.to_string().ends_with("/notifications:42"));
/// for lock in all {
///     println!("{}: {}, {} waiting", lock.name, lock.holder, lock.waiters.len());
/// }
/// # }
/// # held.release()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldLock {
    /// Its name, read back.
    pub name: ParsedLockName,
    /// The session that holds it.
    pub holder: Session,
    /// For how long.
    pub held_for: HoldDuration,
    /// The sessions that wait for it on the server. Requests in the queue of a `LockPool` have none.
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
    /// So long (MariaDB, to the millisecond).
    Exactly(Duration),
    /// At least so long: MySQL only tells since when the holder has been idle or in its present statement, in seconds.
    AtLeast(Duration),
}

/// Why the locks of a server cannot be listed.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::inspect::{self, InspectError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// match inspect::held_locks(&mut conn) {
///     Ok(held) => println!("{} locks", held.len()),
///     Err(InspectError::MissingPlugin { remedy, .. }) => println!("MariaDB has it as a plugin: {remedy}"),
///     Err(InspectError::Incomplete { held, lost, .. }) => {
///         println!("{} locks or more, since {lost} were not recorded", held.len());
///     }
///     Err(error) => println!("{error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The account may not read where it stands.
    #[error(
        "this account may not see who holds which lock; an administrator can allow it: {remedy}"
    )]
    #[non_exhaustive]
    MissingGrant {
        /// What an administrator would run, with `<account>` for the account.
        remedy: &'static str,
        /// What the server answered.
        source: DieselError,
    },

    /// MariaDB's plugin is not installed.
    #[error(
        "MariaDB tells who holds which lock by a plugin that is not installed; an administrator can install it: {remedy}"
    )]
    #[non_exhaustive]
    MissingPlugin {
        /// What an administrator would run.
        remedy: &'static str,
        /// What the server answered.
        source: DieselError,
    },

    /// MySQL keeps no record of locks.
    #[error(
        "MySQL keeps no record of who holds which lock; an administrator can have it do so: {remedy}"
    )]
    #[non_exhaustive]
    NotRecorded {
        /// What an administrator would run or set.
        remedy: &'static str,
    },

    /// MySQL did not record every lock, because its table of metadata locks was full.
    ///
    /// The error carries the locks that could be read; others may be held, and other sessions may
    /// wait.
    #[error(
        "MySQL has not recorded {lost} metadata locks since its start, so locks or waiters may be \
         missing from the {} that it reports; an administrator can make room for them: {remedy}",
        held.len()
    )]
    #[non_exhaustive]
    Incomplete {
        /// The locks that could be read, as [`held_locks`](crate::inspect::held_locks) would return them.
        held: Vec<HeldLock>,
        /// How many metadata locks of any kind, those of tables included, MySQL has not recorded
        /// since it started: `Performance_schema_metadata_lock_lost`. No release lowers this
        /// counter, so the error is returned until the server restarts. `FLUSH STATUS` sets it to
        /// 0; locks that were lost before may then be missing without this error.
        lost: u64,
        /// What an administrator would set.
        remedy: &'static str,
    },

    /// Any other database error.
    #[error("the database failed when asked who holds which lock")]
    #[non_exhaustive]
    Database {
        /// The error as Diesel reports it.
        source: DieselError,
    },
}
