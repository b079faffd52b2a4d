//! Which session holds which lock, and which sessions wait for it.

use crate::backend::{Inspect, LockDriver, LockSource};
use crate::driver::ready;
use crate::error::LockError;
use crate::name::LockName;

pub use crate::backend::{HeldLock, HoldDuration, InspectError, LockStatus};
pub use crate::name::{LockedObject, ParsedLockName, PostgresKey};
pub use crate::session::{Activity, Session};

/// Lists the locks that are held at this moment, in the order of their names. The waiters of each
/// are listed with the longest wait first.
///
/// | | MySQL | MariaDB | PostgreSQL |
/// |---|---|---|---|
/// | source | [`performance_schema.metadata_locks`][my] and `threads` | the plugin [`metadata_lock_info`][maria] and `information_schema.PROCESSLIST` | [`pg_locks`][pg] and `pg_stat_activity` |
/// | needs | `GRANT SELECT` on both | `INSTALL SONAME 'metadata_lock_info'`; `PROCESS`, or waiters and activities of other accounts are not seen | `GRANT pg_read_all_stats`, or names and activities of other accounts are not seen |
/// | lists | the locks of this crate on the server | the same | all advisory locks of the connection's database |
/// | names | all | all | if a session waits, or has waited as its last statement |
/// | how long a lock has been held | [`HoldDuration::AtLeast`] | [`HoldDuration::Exactly`] | [`HoldDuration::AtLeast`] |
/// | locks may be missing | if `performance_schema_max_metadata_locks` is too low: [`InspectError::Incomplete`] | no | no |
///
/// On MySQL and MariaDB, [exact](crate::LockName::exact) names are not listed, since they cannot be
/// distinguished from names of other programs. Query them with
/// [`LockName::status`](crate::LockName::status).
///
/// PostgreSQL knows a lock only by its key, which does not tell the program that acquired it. A
/// statement that waits for a lock carries the lock's name as a comment, and a name is reported only
/// if its key is that of the lock. Other locks are a
/// [`LockedObject::Key`]. To find the lock of a name that you know, compare
/// [`HeldLock::postgres_key`] with [`LockName::postgres_key`](crate::LockName::postgres_key).
///
/// It makes one to three queries. Use it for diagnosis only: the result may be out of date when it
/// arrives. The command-line tool `diesel-lock` prints it as a table.
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::inspect;
/// use diesel_advisory_lock::prelude::*;
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// # let watching = &mut establish_connection();
/// # let held = LockName::row(notifications::table, 42).lock().acquire(&mut conn)?;
/// # let found =
/// match inspect::held_locks(watching) {
///     Ok(held) => {
///         for lock in &held {
///             println!("{} by {}, {} waiting", lock.name, lock.holder, lock.waiters.len());
///         }
/// #       held.len()
///     }
///     // The message says which grant or which plugin is missing.
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
/// [pg]: https://www.postgresql.org/docs/18/view-pg-locks.html
///
/// # Errors
///
/// [`InspectError`], which says what is missing. [`InspectError::Incomplete`] carries the locks
/// that could be read.
pub fn held_locks<S: LockSource>(conn: &mut S) -> Result<Vec<HeldLock>, InspectError> {
    ready(list(conn.connection()))
}

/// Lists the locks that are held.
///
/// # Errors
///
/// See [`held_locks`].
#[doc(hidden)]
pub async fn list<D: LockDriver>(driver: &mut D) -> Result<Vec<HeldLock>, InspectError> {
    let mut result = D::Server::held_locks(driver).await;
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

impl LockName {
    /// Returns whether the lock is free at this moment, and if not, which session holds it.
    ///
    /// The call acquires nothing and does not wait. Use it for diagnosis only: a lock that is free
    /// now may be held when you acquire it. It takes two round trips. For all names, and for the
    /// waiters, see [`inspect::held_locks`](held_locks).
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// use diesel_advisory_lock::LockStatus;
    /// use diesel_advisory_lock::prelude::*;
    ///
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// let name = LockName::row(notifications::table, 42);
    /// match name.status(&mut conn)? {
    ///     LockStatus::Free => println!("free"),
    ///     LockStatus::HeldHere => println!("held on this connection"),
    ///     LockStatus::HeldBy { connection_id } => println!("KILL {connection_id} would end it"),
    /// }
    /// # assert_eq!(name.status(&mut conn)?, LockStatus::Free);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`LockError::InvalidName`] if the name cannot be used.
    /// - [`LockError::Database`] if a query fails.
    pub fn status<S: LockSource>(&self, conn: &mut S) -> Result<LockStatus, LockError> {
        ready(status(self, conn.connection()))
    }
}

/// Returns whether a lock is free.
///
/// # Errors
///
/// See [`LockName::status`].
#[doc(hidden)]
pub async fn status<D: LockDriver>(
    name: &LockName,
    driver: &mut D,
) -> Result<LockStatus, LockError> {
    name.check::<D::Server>()?;
    let status = D::Server::status(driver, name.key_source()).await;
    status.map_err(|source| LockError::before(name, source))
}
