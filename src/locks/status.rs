//! [`LockStatus`]: whether one lock is free.

use crate::backend::sealed::Session as _;
use crate::error::LockError;
use crate::name::LockName;
use crate::source::LockSource;

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
    /// Nobody holds it.
    Free,
    /// The session of the connection that was asked holds it.
    HeldHere,
    /// Another session holds it.
    HeldBy {
        /// What `CONNECTION_ID()` is there, and what `KILL` takes.
        connection_id: u64,
    },
}

impl LockName {
    /// Whether the lock is free at this moment, and if not, who holds it: nothing is locked, and nobody waits. For looking
    /// only: what is free now may be taken before you ask for it.
    ///
    /// Two round trips. For more than one name, and for who waits, see [`locks::held`](super::held).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// use diesel_advisory_lock::LockStatus;
    /// use diesel_advisory_lock::prelude::*;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let name = LockName::row(notifications::table, 42);
    /// match name.status(&mut conn)? {
    ///     LockStatus::Free => println!("nobody is at it"),
    ///     LockStatus::HeldHere => println!("we are at it, on this connection"),
    ///     LockStatus::HeldBy { connection_id } => println!("KILL {connection_id} would end it"),
    /// }
    /// # assert_eq!(name.status(&mut conn)?, LockStatus::Free);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidName`], and [`LockError::Database`] if the server cannot be asked.
    pub fn status<S: LockSource>(&self, conn: &mut S) -> Result<LockStatus, LockError> {
        let status = conn.connection().status(self.wanted()?);
        status.map_err(|source| LockError::before(self, source))
    }
}
