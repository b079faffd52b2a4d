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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that can take a lock",
    label = "pass a `MysqlConnection`, a pooled one, or a `Held` guard",
    note = "for r2d2's `PooledConnection` enable the feature `r2d2` of `diesel-advisory-lock`"
)]
pub trait LockSource {
    /// The plain connection.
    type Connection: LockConnection;

    /// Borrows the plain connection.
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
