//! Which session holds which lock, and which sessions wait for it.

use crate::backend::{Inspect, LockConnection, LockSource};
use crate::driver::ready;
use crate::error::LockError;
use crate::name::LockName;

pub use crate::backend::{HeldLock, HoldDuration, InspectError, LockStatus};
pub use crate::name::{LockedObject, ParsedLockName};
pub use crate::session::{Activity, Session};

/// Lists all locks of this crate that are held on the server at this moment, in the order of their
/// names. The waiters of each are listed with the longest wait first.
///
/// [Exact](crate::LockName::exact) names are not listed, since they cannot be distinguished from
/// names of other programs. Query them with [`LockName::status`](crate::LockName::status).
///
/// | | MySQL | MariaDB |
/// |---|---|---|
/// | source | [`performance_schema.metadata_locks`][my] and `threads` | the plugin [`metadata_lock_info`][maria] and `information_schema.PROCESSLIST` |
/// | needs | `GRANT SELECT` on both | `INSTALL SONAME 'metadata_lock_info'`; `PROCESS`, or waiters and activities of other accounts are not seen |
/// | how long a lock has been held | [`HoldDuration::AtLeast`] | [`HoldDuration::Exactly`] |
/// | locks may be missing | if `performance_schema_max_metadata_locks` is too low: [`InspectError::Incomplete`] | no |
///
/// It makes two or three queries. Use it for diagnosis only: the result may be out of date when it
/// arrives. `cargo run --package locks` prints it as a table.
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
///
/// # Errors
///
/// [`InspectError`], which says what is missing. [`InspectError::Incomplete`] carries the locks
/// that could be read.
pub fn held_locks<S: LockSource>(conn: &mut S) -> Result<Vec<HeldLock>, InspectError> {
    let conn = conn.connection();
    let mut result = ready(<S::Connection as LockConnection>::Server::held_locks(conn));
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
        self.check::<<S::Connection as LockConnection>::Server>()?;
        let conn = conn.connection();
        let status = <S::Connection as LockConnection>::Server::status(conn, self.key_source());
        ready(status).map_err(|source| LockError::before(self, source))
    }
}
