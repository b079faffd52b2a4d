//! [`ConnectionPool`]: pools of deadpool and bb8, and [`ViaPool`], through which the core of the
//! library uses them.

use std::future::{Future, ready};
use std::hash::Hash;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use diesel_advisory_lock::__core::{
    Deadline, Granted, HeldLocks, LockDriver, Phase, PoolDriver, PoolError, Waiter,
};
use diesel_async::{AnsiTransactionManager, TransactionManager};

use crate::connection::{LockConnection, LockSource};
use crate::driver::Via;

/// A pool of a [`LockPool`](crate::LockPool): diesel-async's `deadpool::Pool` or `bb8::Pool`, with
/// the feature of that name, of connections on which locks can be acquired.
///
/// It cannot be implemented outside of this crate.
#[diagnostic::on_unimplemented(
    message = "a `LockPool` cannot use `{Self}`",
    label = "not a pool of diesel-async's connections",
    note = "use `diesel_async::pooled_connection::deadpool::Pool` or `bb8::Pool`, and enable the \
            feature `deadpool` or `bb8` of `diesel-advisory-lock-async`",
    note = "a pool of mobc is not supported: with diesel-async 0.9 it discards good connections and \
            hands out broken ones, on which a statement may return the result of another"
)]
pub trait ConnectionPool: Clone + Send + Sync + 'static {
    /// Its connections.
    type Connection: LockConnection;

    /// A connection that is checked out.
    #[doc(hidden)]
    type Pooled: LockSource<Connection = Self::Connection>
        + Deref<Target = Self::Connection>
        + 'static;

    /// Checks out a connection within the deadline. A call that does not wait for a lock waits only
    /// for a connection that the pool must still establish, and not for one in use.
    #[doc(hidden)]
    fn check_out(
        &self,
        deadline: &Deadline,
    ) -> impl Future<Output = Result<Self::Pooled, PoolError>> + Send;

    /// Whether a connection is idle.
    #[doc(hidden)]
    fn has_idle(&self) -> bool;
}

/// A pool, as the core uses it. The type of a pool is another crate's, and so is the trait.
#[derive(Clone)]
pub(super) struct ViaPool<P>(pub(crate) P);

impl<P: ConnectionPool> PoolDriver for ViaPool<P> {
    type Driver = Via<P::Pooled>;
    type Pooled = Via<P::Pooled>;

    fn driver(pooled: &mut Self::Pooled) -> &mut Self::Driver {
        pooled
    }

    async fn check_out(&self, deadline: &Deadline) -> Result<Self::Pooled, PoolError> {
        self.0.check_out(deadline).await.map(Via)
    }

    fn has_idle(&self) -> bool {
        self.0.has_idle()
    }

    async fn wait<N, T>(
        waiter: Waiter<N, T>,
        deadline: Option<Instant>,
    ) -> Result<Granted<N, T>, Option<Phase>>
    where
        N: Eq + Hash + Clone + Send + Sync,
        T: Send,
    {
        match deadline {
            None => Ok(waiter.await),
            Some(deadline) if deadline <= Instant::now() => waiter.wait_or(ready(())).await,
            Some(deadline) => {
                let expired = tokio::time::sleep_until(deadline.into());
                waiter.wait_or(expired).await
            }
        }
    }

    fn release_in_drop(
        conn: &mut Self::Driver,
        locks: &mut HeldLocks<<Self::Driver as LockDriver>::Server>,
    ) {
        conn.abandon();
        locks.session_ended();
    }
}

/// A connection that was checked out. When it is dropped, the pool discards it at once if it is
/// broken.
pub struct Pooled<O: PooledObject>(Option<O>);

/// What a pool hands out.
pub trait PooledObject: LockSource + DerefMut<Target = <Self as LockSource>::Connection> {
    /// Takes the connection out of the pool, and drops it.
    fn discard(self);
}

impl<O: PooledObject> Pooled<O> {
    pub(super) fn new(object: O) -> Self {
        Pooled(Some(object))
    }
}

impl<O: PooledObject> LockSource for Pooled<O> {
    type Connection = O::Connection;

    fn connection(&mut self) -> &mut O::Connection {
        self.0.as_mut().expect(CHECKED_OUT)
    }
}

impl<O: PooledObject> Deref for Pooled<O> {
    type Target = O::Connection;

    fn deref(&self) -> &O::Connection {
        self.0.as_ref().expect(CHECKED_OUT)
    }
}

const CHECKED_OUT: &str = "only `Drop` takes it";

impl<O: PooledObject> Drop for Pooled<O> {
    fn drop(&mut self) {
        if let Some(mut object) = self.0.take()
            && AnsiTransactionManager::is_broken_transaction_manager(&mut *object)
        {
            object.discard();
        }
    }
}

/// Waits for a connection until the deadline.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub(super) async fn until<T, E: Into<PoolError>>(
    deadline: Option<Instant>,
    connection: impl Future<Output = Result<T, E>>,
) -> Result<T, PoolError> {
    let Some(deadline) = deadline else {
        return connection.await.map_err(Into::into);
    };
    match tokio::time::timeout_at(deadline.into(), connection).await {
        Ok(connection) => connection.map_err(Into::into),
        Err(_) => Err("the pool had no connection within the timeout of the lock".into()),
    }
}
