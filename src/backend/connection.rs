//! [`LockConnection`] and [`LockSource`]: the connections on which locks can be acquired, and what
//! can be passed in their place.

use super::traits::{Backend, CheckServer, Inspect, SharedLocks, TransactionLocks};
use crate::driver::Driver;

/// A connection to a server with advisory locks, blocking or not.
#[doc(hidden)]
pub trait LockDriver: Driver<Db = <Self::Server as Backend>::Db> {
    /// The server at the other end.
    type Server: Backend + Inspect + CheckServer;

    /// Ends the session in a `Drop`, where nothing can be awaited. The connection must not be used
    /// again.
    fn abandon(&mut self);
}

/// A connection on which locks can be acquired.
///
/// It is implemented for Diesel's `MysqlConnection`, with the feature `mysql`, and for its
/// `PgConnection`, with the feature `postgres`. It cannot be implemented outside of this crate: a
/// backend with one wrong answer would break every guarantee.
///
/// ```
/// use diesel_advisory_lock::LockConnection;
/// use diesel_advisory_lock::prelude::*;
///
/// /// Works on every server that this crate supports.
/// fn run_job<C: LockConnection>(conn: &mut C) -> Result<(), LockError> {
///     LockName::named("job").lock().run(conn, |_, _| Ok(()))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot acquire advisory locks",
    label = "not a connection to a server that this crate supports",
    note = "use Diesel's `MysqlConnection` or `PgConnection`, and enable the feature `mysql` or \
            `postgres` of `diesel-advisory-lock`"
)]
pub trait LockConnection: LockDriver + LockSource<Connection = Self> + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

/// A connection whose server has locks of the mode `M`: every connection for
/// [`Exclusive`](crate::mode::Exclusive), Diesel's `PgConnection` for
/// [`Shared`](crate::mode::Shared).
///
/// It cannot be implemented outside of this crate.
#[diagnostic::on_unimplemented(
    message = "the server of `{Self}` has no locks of the mode `{M}`",
    label = "only PostgreSQL has shared locks",
    note = "without `.shared()` the lock is exclusive, as on every server"
)]
pub trait Supports<M>: LockConnection {}

#[diagnostic::do_not_recommend]
impl<C: LockConnection> Supports<crate::mode::Exclusive> for C {}

#[diagnostic::do_not_recommend]
impl<C: LockConnection<Server: SharedLocks>> Supports<crate::mode::Shared> for C {}

/// A connection whose server has locks that end with a transaction: Diesel's `PgConnection`.
///
/// It cannot be implemented outside of this crate.
#[diagnostic::on_unimplemented(
    message = "the server of `{Self}` has no locks that end with a transaction",
    label = "only PostgreSQL has them",
    note = "acquire the lock before the transaction: `.lock().transaction(conn, ..)`"
)]
pub trait SupportsUntilCommit: LockConnection<Server: TransactionLocks> {}

#[diagnostic::do_not_recommend]
impl<C: LockConnection<Server: TransactionLocks>> SupportsUntilCommit for C {}

/// What may be passed as the connection: Diesel's connection, a pooled one, or a guard such as
/// [`LockGuard`](crate::LockGuard).
///
/// A closure always gets the plain connection, so a method that takes `&mut MysqlConnection` works
/// with all of them. A type that wraps a connection may implement this trait:
///
/// ```
/// # include!("../doctest_setup.rs");
/// use diesel_advisory_lock::LockSource;
///
/// # fn main() -> TestResult {
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
/// fn run_job(conn: &mut impl LockSource) -> Result<(), LockError> {
///     LockName::named("job").lock().run(conn, |_, _| Ok(()))
/// }
///
/// run_job(&mut Session { conn })?;
/// run_job(&mut pool()?.get()?)?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection on which a lock can be acquired",
    label = "expected `&mut` of a `MysqlConnection` or `PgConnection`, of a pooled connection, or \
             of a `LockGuard`",
    note = "for a `LockPool`, the pool is the receiver: `locks.run(model.lock(), |model, conn| \
            ..)`",
    note = "for an r2d2 `Pool`, write `LockPool::new(pool)`, or pass `&mut pool.get()?`"
)]
pub trait LockSource {
    /// The plain connection.
    type Connection: LockConnection;

    /// Borrows the plain connection. Each call must return the same connection.
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

#[cfg(feature = "mysql")]
mod mysql {
    use diesel::mysql::MysqlConnection;

    use super::{LockConnection, LockDriver, LockSource, sealed};
    use crate::backend::{Backend, MySql};
    use crate::driver::ready;

    impl sealed::Sealed for MysqlConnection {}

    impl LockConnection for MysqlConnection {}

    impl LockDriver for MysqlConnection {
        type Server = MySql;

        fn abandon(&mut self) {
            ready(MySql::end_session(self));
        }
    }

    impl LockSource for MysqlConnection {
        type Connection = Self;

        fn connection(&mut self) -> &mut Self {
            self
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use diesel::pg::PgConnection;

    use super::{LockConnection, LockDriver, LockSource, sealed};
    use crate::backend::{Backend, Postgres};
    use crate::driver::ready;

    impl sealed::Sealed for PgConnection {}

    impl LockConnection for PgConnection {}

    impl LockDriver for PgConnection {
        type Server = Postgres;

        fn abandon(&mut self) {
            ready(Postgres::end_session(self));
        }
    }

    impl LockSource for PgConnection {
        type Connection = Self;

        fn connection(&mut self) -> &mut Self {
            self
        }
    }
}
