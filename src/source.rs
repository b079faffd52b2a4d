//! [`LockSource`]: whatever holds a connection that can take a lock.

use crate::backend::LockConnection;
use crate::held::Held;
#[cfg(feature = "r2d2")]
use crate::pool::{PoolConnection, PooledHeld};

/// What may be passed as the connection: Diesel's own, a pooled one, or a [`Held`] guard's.
///
/// A closure always gets the plain connection, so that a method which takes
/// `&mut MysqlConnection` can be passed whatever the caller has. A type of your own that wraps a connection
/// may implement this; it must lend the same connection each time.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::LockSource;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// /// With whatever holds a connection.
/// fn run_job(conn: &mut impl LockSource) -> Result<(), LockError> {
///     LockName::named("job").lock().hold(conn, |_| Ok(()))
/// }
///
/// run_job(&mut conn)?;
/// run_job(&mut pool()?.get()?)?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that can take a lock",
    label = "pass a `MysqlConnection`, a pooled one, or a `Held` guard",
    note = "for r2d2's `PooledConnection` enable the feature `r2d2` of `diesel-advisory-lock`"
)]
pub trait LockSource {
    /// The plain connection.
    type Connection: LockConnection;

    /// Borrows the plain connection.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::LockSource;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let conn = establish_connection();
    /// struct Session {
    ///     conn: MysqlConnection,
    /// }
    ///
    /// impl LockSource for Session {
    ///     type Connection = MysqlConnection;
    ///
    ///     fn connection(&mut self) -> &mut MysqlConnection {
    ///         &mut self.conn
    ///     }
    /// }
    ///
    /// let mut session = Session { conn };
    /// LockName::named("job").lock().hold(&mut session, |_| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    fn connection(&mut self) -> &mut Self::Connection;
}

#[cfg(feature = "mysql")]
impl LockSource for diesel::mysql::MysqlConnection {
    type Connection = Self;

    fn connection(&mut self) -> &mut Self {
        self
    }
}

#[cfg(feature = "r2d2")]
impl<C: PoolConnection> LockSource
    for diesel::r2d2::PooledConnection<diesel::r2d2::ConnectionManager<C>>
{
    type Connection = C;

    fn connection(&mut self) -> &mut C {
        self
    }
}

#[cfg(feature = "r2d2")]
impl<C: PoolConnection> LockSource for PooledHeld<C> {
    type Connection = C;

    fn connection(&mut self) -> &mut C {
        self
    }
}

impl<S: LockSource> LockSource for Held<'_, S> {
    type Connection = S::Connection;

    fn connection(&mut self) -> &mut S::Connection {
        (**self).connection()
    }
}
