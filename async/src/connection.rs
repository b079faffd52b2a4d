//! [`LockConnection`] and [`LockSource`]: the connections on which locks can be acquired, and what
//! can be passed in their place.

use std::future::{Future, ready};

use diesel::deserialize::FromSqlRow;
use diesel::expression::QueryMetadata;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::SingleValue;
use diesel_advisory_lock::__core::{Backend, CheckServer, Inspect, SharedLocks, TransactionLocks};
use diesel_advisory_lock::mode::{Exclusive, Shared};
use diesel_async::{AnsiTransactionManager, AsyncConnection};

use crate::driver::load_one;

/// A connection on which locks can be acquired: diesel-async's `AsyncMysqlConnection`, with the
/// feature `mysql`, and its `AsyncPgConnection`, with the feature `postgres`.
///
/// It cannot be implemented outside of this crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot acquire advisory locks",
    label = "not a connection to a server that this crate supports",
    note = "use diesel-async's `AsyncMysqlConnection` or `AsyncPgConnection`, and enable the \
            feature `mysql` or `postgres` of `diesel-advisory-lock-async`"
)]
pub trait LockConnection:
    AsyncConnection<
        Backend = <Self::Server as Backend>::Db,
        TransactionManager = AnsiTransactionManager,
    > + LockSource<Connection = Self>
    + sealed::Sealed
    + 'static
{
    /// The server at the other end.
    #[doc(hidden)]
    type Server: Backend + Inspect + CheckServer;

    /// Runs one statement of one column, and returns its only row, or `NotFound`. Also returns
    /// whether the server has a transaction open, if that can be known.
    #[doc(hidden)]
    fn load_one_and_transaction<Q, R>(
        &mut self,
        query: Q,
    ) -> impl Future<Output = (QueryResult<R>, Option<bool>)> + Send
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Backend> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Backend> + Send + 'static,
        Self::Backend: QueryMetadata<Q::SqlType>;

    /// Like `load_one`, for a query that may follow a statement of the caller's whose future was
    /// dropped. Returns an error if the answer is not the query's.
    #[doc(hidden)]
    fn load_one_in_turn<Q, R>(&mut self, query: Q) -> impl Future<Output = QueryResult<R>> + Send
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Backend> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Backend> + Send + 'static,
        Self::Backend: QueryMetadata<Q::SqlType>,
    {
        load_one(self, query)
    }

    /// Whether the next answer is that of the next statement.
    #[doc(hidden)]
    fn answers_in_turn(&mut self) -> impl Future<Output = bool> + Send {
        ready(true)
    }

    /// Gives an error of a statement the kind that Diesel gives it on a blocking connection, which
    /// tells a lost connection apart from a refused statement.
    #[doc(hidden)]
    fn with_kind(&mut self, error: DieselError) -> impl Future<Output = DieselError> + Send {
        ready(error)
    }

    /// The statement that ends the session.
    #[doc(hidden)]
    const END_SESSION: &'static str;

    /// Cancels the statement that the session runs, on another connection.
    #[doc(hidden)]
    fn cancel_statement(&self) -> impl Future<Output = ()> + Send + 'static;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A connection whose server has locks of the mode `M`: every connection for
/// [`Exclusive`], diesel-async's `AsyncPgConnection` for [`Shared`].
///
/// It cannot be implemented outside of this crate.
#[diagnostic::on_unimplemented(
    message = "the server of `{Self}` has no locks of the mode `{M}`",
    label = "only PostgreSQL has shared locks",
    note = "without `.shared()` the lock is exclusive, as on every server"
)]
pub trait Supports<M>: LockConnection {}

#[diagnostic::do_not_recommend]
impl<C: LockConnection> Supports<Exclusive> for C {}

#[diagnostic::do_not_recommend]
impl<C: LockConnection<Server: SharedLocks>> Supports<Shared> for C {}

/// A connection whose server has locks that end with a transaction: `AsyncPgConnection`.
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

/// What may be passed as the connection: diesel-async's connection, a pooled one, or a guard such as
/// [`LockGuard`](crate::LockGuard).
///
/// A closure always gets the plain connection, so a method that takes `&mut AsyncPgConnection` works
/// with all of them. A type that wraps a connection may implement this trait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection on which a lock can be acquired",
    label = "expected `&mut` of an `AsyncMysqlConnection` or `AsyncPgConnection`, of a pooled \
             connection, or of a `LockGuard`",
    note = "for a pool of deadpool or bb8, enable its feature and pass `&mut pool.get().await?`",
    note = "a pool of mobc is not supported: with diesel-async 0.9 it discards good connections and \
            hands out broken ones, on which a statement may return the result of another"
)]
pub trait LockSource: Send {
    /// The plain connection.
    type Connection: LockConnection;

    /// Borrows the plain connection. Each call must return the same connection.
    fn connection(&mut self) -> &mut Self::Connection;
}

impl<S: LockSource> LockSource for &mut S {
    type Connection = S::Connection;

    fn connection(&mut self) -> &mut S::Connection {
        (**self).connection()
    }
}

/// Implements [`LockSource`] for a connection, and for connections of that type from pools.
#[cfg(any(feature = "mysql", feature = "postgres"))]
macro_rules! lock_source {
    ($connection:ty) => {
        impl $crate::connection::sealed::Sealed for $connection {}

        impl $crate::connection::LockSource for $connection {
            type Connection = Self;

            fn connection(&mut self) -> &mut Self {
                self
            }
        }

        #[cfg(feature = "deadpool")]
        impl $crate::connection::LockSource
            for diesel_async::pooled_connection::deadpool::Object<$connection>
        {
            type Connection = $connection;

            fn connection(&mut self) -> &mut $connection {
                self
            }
        }

        #[cfg(feature = "bb8")]
        impl $crate::connection::LockSource
            for diesel_async::pooled_connection::bb8::PooledConnection<'_, $connection>
        {
            type Connection = $connection;

            fn connection(&mut self) -> &mut $connection {
                self
            }
        }
    };
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use lock_source;
