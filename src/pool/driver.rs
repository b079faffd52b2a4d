//! [`PoolDriver`]: what the core of the library needs of a pool of connections.

use std::error::Error;
use std::hash::Hash;
use std::time::Instant;

use super::wait_queue::{Granted, Phase, Waiter};
use crate::backend::LockDriver;
use crate::deadline::Deadline;
use crate::held_locks::HeldLocks;

/// A pool of connections, blocking or not. As with a [`Driver`](crate::driver::Driver), the futures
/// of a blocking pool are ready when they are first polled.
pub trait PoolDriver: Sized {
    /// Its connection.
    type Driver: LockDriver;

    /// A connection that is checked out. Dropping it returns it to the pool, or discards it if it is
    /// marked as broken.
    type Pooled: Send;

    /// The connection.
    fn driver(pooled: &mut Self::Pooled) -> &mut Self::Driver;

    /// Checks out a connection within the deadline. A call that does not wait for a lock waits only
    /// for a connection that the pool must still establish, and not for one in use.
    fn check_out(
        &self,
        deadline: &Deadline,
    ) -> impl Future<Output = Result<Self::Pooled, PoolError>> + Send;

    /// Whether a connection is idle.
    fn has_idle(&self) -> bool;

    /// Waits for a permit until the deadline. A permit that has been granted by then is returned.
    fn wait<N, T>(
        waiter: Waiter<N, T>,
        deadline: Option<Instant>,
    ) -> impl Future<Output = Result<Granted<N, T>, Option<Phase>>> + Send
    where
        N: Eq + Hash + Clone + Send + Sync,
        T: Send;

    /// Releases the locks in a `Drop`, or ends the session.
    fn release_in_drop(conn: &mut Self::Driver, locks: &mut HeldLocks<Server<Self>>);
}

/// The error of a pool.
pub type PoolError = Box<dyn Error + Send + Sync>;

/// The server of a pool's connections.
pub(super) type Server<P> = <<P as PoolDriver>::Driver as LockDriver>::Server;
