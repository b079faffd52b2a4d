//! Who holds which lock, and who waits: what to look at when something does not go on.

use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::backend::sealed::Session as _;
use crate::source::LockSource;

mod session;
mod status;

pub use crate::name::{Subject, WrittenName};
pub use session::{Activity, Session};
pub use status::LockStatus;

/// All locks of this crate that are held on the server at this moment, in the order of their names; whoever waits for
/// one, longest first.
///
/// Not among them are [exact](crate::LockName::exact) names, which nobody can tell from another program's:
/// ask for these by [`LockName::status`](crate::LockName::status).
///
/// | | MySQL | MariaDB |
/// |---|---|---|
/// | where from | [`performance_schema.metadata_locks`][my] and `threads` | the plugin [`metadata_lock_info`][maria] and `information_schema.PROCESSLIST` |
/// | needs | `GRANT SELECT` on both | `INSTALL SONAME 'metadata_lock_info'`; `PROCESS`, or waiters and activities of other accounts are not seen |
/// | how long a lock has been held | [`HeldFor::AtLeast`] | [`HeldFor::Exactly`] |
/// | locks may be missing | if `performance_schema_max_metadata_locks` is too low: [`InspectError::Incomplete`] | no |
///
/// Two or three queries: for looking, not for deciding. `cargo run --example locks` prints it as a
/// table.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::locks;
/// use diesel_advisory_lock::prelude::*;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let watching = &mut establish_connection();
/// # let held = LockName::row(notifications::table, 42).lock().acquire(&mut conn)?;
/// # let found =
/// match locks::held(watching) {
///     Ok(held) => {
///         for lock in &held {
///             println!("{} by {}, {} waiting", lock.name, lock.holder, lock.waiters.len());
///         }
/// #       held.len()
///     }
///     // Says which grant or which plugin is missing.
///     Err(error) => {
///         println!("{error}");
/// #       1
///     }
/// }
/// # ;
/// # assert!(found >= 1);
/// # Ok(())
/// # }
/// ```
///
/// [my]: https://dev.mysql.com/doc/refman/9.7/en/performance-schema-metadata-locks-table.html
/// [maria]: https://mariadb.com/kb/en/metadata-lock-info-plugin/
///
/// # Errors
///
/// [`InspectError`], which says what is missing. [`InspectError::Incomplete`] carries the locks
/// that could be read.
pub fn held<S: LockSource>(conn: &mut S) -> Result<Vec<HeldLock>, InspectError> {
    let mut result = conn.connection().held_locks();
    if let Ok(held) | Err(InspectError::Incomplete { held, .. }) = &mut result {
        sort(held);
    }
    result
}

fn sort(held: &mut [HeldLock]) {
    held.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    for lock in held {
        lock.waiters
            .sort_by_key(|waiter| std::cmp::Reverse(waiter.activity.as_ref().map(|it| it.elapsed)));
    }
}

/// A lock that is held.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::locks;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let watching = &mut establish_connection();
/// # let held = LockName::row(notifications::table, 42).lock().acquire(&mut conn)?;
/// # if let Ok(all) = locks::held(watching) {
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
    pub name: WrittenName,
    /// Who holds it.
    pub holder: Session,
    /// For how long.
    pub held_for: HeldFor,
    /// Who waits for it on the server. Requests that wait for their turn in a `LockPool` have no session.
    pub waiters: Vec<Session>,
}

/// For how long a lock has been held.
///
/// ```
/// use std::time::Duration;
/// use diesel_advisory_lock::locks::HeldFor;
///
/// fn readable(held_for: HeldFor) -> String {
///     match held_for {
///         HeldFor::Exactly(time) => format!("{time:.1?}"),
///         HeldFor::AtLeast(time) => format!("at least {time:.1?}"),
///     }
/// }
/// assert_eq!(readable(HeldFor::AtLeast(Duration::from_secs(3))), "at least 3.0s");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldFor {
    /// So long (MariaDB, to the millisecond).
    Exactly(Duration),
    /// At least so long: MySQL only tells since when the holder has been idle or in its present statement, in seconds.
    AtLeast(Duration),
}

/// Why [`held`] cannot tell.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::locks::{self, InspectError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// match locks::held(&mut conn) {
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
        /// The locks that could be read, as [`held`] would return them.
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
