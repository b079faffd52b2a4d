//! [`LockPoolBuilder`]: the limits of a [`LockPool`].

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use diesel::r2d2::{ConnectionManager, Pool};

use super::budget::Limits;
use super::connection::PoolConnection;
use super::lock_pool::LockPool;

/// The limits of a [`LockPool`].
///
/// ```
/// use std::time::Duration;
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let pool = pool()?;
/// let locks = LockPool::builder()
///     .max_handoffs(4)
///     .max_handoff_time(Duration::from_millis(20))
///     .build(pool);
/// # locks.acquire(LockName::named("job").lock())?.release()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "there is no `LockPool` until `.build(pool)`"]
pub struct LockPoolBuilder<C> {
    limits: Limits,
    of: PhantomData<fn(C)>,
}

impl<C: PoolConnection> LockPoolBuilder<C> {
    /// How often a lock is handed off before waiters in other processes get their turn: 16 by
    /// default. So a single waiter in another process waits for at most 17 closures of this one.
    /// With 0, the server is asked each time.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().max_handoffs(4).build(pool()?);
    /// # locks.acquire(LockName::named("job").lock())?.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_handoffs(mut self, max_handoffs: u32) -> Self {
        self.limits.max_handoffs = max_handoffs;
        self
    }

    /// How long a lock is handed off, from when the server granted it: 100 milliseconds by default. A
    /// closure that runs longer is not cut short, but is the last.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().max_handoff_time(Duration::from_millis(20)).build(pool()?);
    /// # locks.acquire(LockName::named("job").lock())?.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_handoff_time(mut self, max_handoff_time: Duration) -> Self {
        self.limits.max_handoff_time = max_handoff_time;
        self
    }

    /// Makes the pool of locks over a pool of connections.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().build(pool()?); // the same as `LockPool::new`
    /// # locks.acquire(LockName::named("job").lock())?.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn build(self, pool: Pool<ConnectionManager<C>>) -> LockPool<C> {
        LockPool::with_limits(pool, self.limits)
    }
}

impl<C> Default for LockPoolBuilder<C> {
    fn default() -> Self {
        LockPoolBuilder {
            limits: Limits::default(),
            of: PhantomData,
        }
    }
}

impl<C> fmt::Debug for LockPoolBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits.fmt(f)
    }
}
impl<C: PoolConnection> LockPool<C> {
    /// Starts a `LockPool` whose limits are set first.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().max_handoffs(4).build(pool()?);
    /// # locks.run(LockName::named("job").lock(), |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> LockPoolBuilder<C> {
        LockPoolBuilder::default()
    }
}
