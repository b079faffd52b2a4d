//! [`PoolConnection`], and checking one out.

use std::time::Duration;

use diesel::r2d2::{ConnectionManager, Pool, PoolError, PooledConnection, R2D2Connection};

use crate::backend::LockConnection;
use crate::deadline::Deadline;

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

/// Checks out a connection within the deadline. A call that does not wait for a lock waits only for
/// a connection that the pool must still establish, and not for one in use.
pub(super) fn check_out<C: PoolConnection>(
    pool: &Pool<ConnectionManager<C>>,
    deadline: &Deadline,
) -> Result<PooledConnection<ConnectionManager<C>>, PoolError> {
    let may_grow = pool.state().connections < pool.max_size();
    let limit = pool.connection_timeout();
    pool.get_timeout(match deadline.is_without_wait() {
        true if !may_grow => Duration::ZERO,
        true => limit,
        false => deadline.for_connection(limit),
    })
}
