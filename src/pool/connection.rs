//! [`PoolConnection`], and r2d2's pool as a [`PoolDriver`].

use std::hash::Hash;
use std::time::{Duration, Instant};

use diesel::r2d2::{ConnectionManager, Pool, PooledConnection, R2D2Connection};

use super::driver::{PoolDriver, PoolError};
use super::wait_queue::{Granted, Phase, Waiter};
use crate::backend::LockConnection;
use crate::deadline::Deadline;
use crate::driver::ready;
use crate::held_locks::HeldLocks;
use crate::session_lock::without_second_panic;

/// A connection that can be pooled, and on which locks can be acquired.
///
/// It is implemented for all such connections.
///
/// ```
/// use diesel_advisory_lock::PoolConnection;
/// use diesel_advisory_lock::prelude::*;
///
/// /// Works with a pool of any such connections.
/// fn run_job<C: PoolConnection>(locks: &LockPool<C>) -> Result<(), LockError> {
///     locks.run(LockName::named("job").lock(), |_, _| Ok(()))
/// }
/// ```
pub trait PoolConnection: LockConnection + R2D2Connection + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<C: LockConnection + R2D2Connection + Send + 'static> PoolConnection for C {}

impl<C: PoolConnection> PoolDriver for Pool<ConnectionManager<C>> {
    type Driver = C;
    type Pooled = PooledConnection<ConnectionManager<C>>;

    fn driver(pooled: &mut Self::Pooled) -> &mut C {
        pooled
    }

    async fn check_out(&self, deadline: &Deadline) -> Result<Self::Pooled, PoolError> {
        let may_grow = self.state().connections < self.max_size();
        let limit = self.connection_timeout();
        let checked_out = self.get_timeout(match deadline.is_without_wait() {
            true if !may_grow => Duration::ZERO,
            true => limit,
            false => deadline.for_connection(limit),
        });
        checked_out.map_err(PoolError::from)
    }

    fn has_idle(&self) -> bool {
        self.state().idle_connections > 0
    }

    async fn wait<N, T>(
        waiter: Waiter<N, T>,
        deadline: Option<Instant>,
    ) -> Result<Granted<N, T>, Option<Phase>>
    where
        N: Eq + Hash + Clone + Send + Sync,
        T: Send,
    {
        waiter.wait_until(deadline)
    }

    fn release_in_drop(conn: &mut C, locks: &mut HeldLocks<C::Server>) {
        // `Drop` cannot return an error: telemetry records it, and a failed release has ended the
        // session.
        drop(without_second_panic(|| ready(locks.end(conn))));
    }
}
