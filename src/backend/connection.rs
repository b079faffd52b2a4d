//! [`LockConnection`] and [`LockSource`]: the connections on which locks can be acquired, and what
//! can be passed in their place.

use super::traits::{Backend, CheckServer, Inspect};
use crate::driver::Driver;

/// A connection on which locks can be acquired.
///
/// Implemented for Diesel's `MysqlConnection`, with the feature `mysql`. It cannot be implemented
/// outside of this crate: a backend that gets one answer wrong breaks every guarantee.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::LockConnection;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// /// Works on every server that this crate knows.
/// fn run_job<C: LockConnection>(conn: &mut C) -> Result<(), LockError> {
///     LockName::named("job").lock().run(conn, |_, _| Ok(()))
/// }
///
/// run_job(&mut conn)?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take advisory locks",
    label = "not a connection to a server that this crate knows",
    note = "`MysqlConnection` can, with the feature `mysql` of `diesel-advisory-lock`"
)]
pub trait LockConnection:
    Driver<Db = <Self::Server as Backend>::Db> + LockSource<Connection = Self> + sealed::Sealed
{
    /// The server at the other end.
    #[doc(hidden)]
    type Server: Backend + Inspect + CheckServer;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// What may be passed as the connection: Diesel's own, a pooled one, or a [`LockGuard`](crate::LockGuard)'s.
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
///     LockName::named("job").lock().run(conn, |_, _| Ok(()))
/// }
///
/// run_job(&mut conn)?;
/// run_job(&mut pool()?.get()?)?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection on which a lock can be acquired",
    label = "expected `&mut` of a `MysqlConnection`, of a pooled connection, or of a `LockGuard`",
    note = "for a `LockPool`, the pool is the receiver: `locks.run(model.lock(), |model, conn| ..)`",
    note = "for an r2d2 `Pool`, write `LockPool::new(pool)`, or pass `&mut pool.get()?`"
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
    /// LockName::named("job").lock().run(&mut session, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    fn connection(&mut self) -> &mut Self::Connection;
}

#[cfg(feature = "r2d2")]
#[diagnostic::do_not_recommend]
impl<C> LockSource for diesel::r2d2::PooledConnection<diesel::r2d2::ConnectionManager<C>>
where
    C: LockConnection + diesel::r2d2::R2D2Connection + 'static,
{
    type Connection = C;

    fn connection(&mut self) -> &mut C {
        self
    }
}
