//! [`LockPoolBuilder`]: until when a lock is handed on in the process.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use diesel::r2d2::{ConnectionManager, Pool};

use super::{LockPool, PoolConnection};

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
///     .max_hand_overs(4)
///     .max_tenure(Duration::from_millis(20))
///     .build(pool);
/// # LockName::named("job").lock().acquire_from(&locks)?.release()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is made until `.build(pool)`"]
pub struct LockPoolBuilder<C> {
    limits: Limits,
    of: PhantomData<fn(C)>,
}

impl<C: PoolConnection> LockPoolBuilder<C> {
    /// How often a lock is handed on before the server's other waiters have their turn: 16 unless told. So a
    /// lone request in another process waits for at most 17 closures of this one. With 0, the server
    /// is asked for each.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().max_hand_overs(4).build(pool()?);
    /// # LockName::named("job").lock().acquire_from(&locks)?.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_hand_overs(mut self, max_hand_overs: u32) -> Self {
        self.limits.max_hand_overs = max_hand_overs;
        self
    }

    /// For how long a lock is handed on, from when the server granted it: 100 milliseconds unless told. A
    /// closure that runs longer is not cut short, but is the last.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().max_tenure(Duration::from_millis(20)).build(pool()?);
    /// # LockName::named("job").lock().acquire_from(&locks)?.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_tenure(mut self, max_tenure: Duration) -> Self {
        self.limits.max_tenure = max_tenure;
        self
    }

    /// Makes the pool of locks over a pool of connections.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().build(pool()?); // the same as `LockPool::new`
    /// # LockName::named("job").lock().acquire_from(&locks)?.release()?;
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
            limits: Limits {
                max_hand_overs: 16,
                max_tenure: Duration::from_millis(100),
            },
            of: PhantomData,
        }
    }
}

impl<C> fmt::Debug for LockPoolBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits.fmt(f)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    max_hand_overs: u32,
    max_tenure: Duration,
}

impl Limits {
    /// From the moment that the server grants a lock. Who comes later waits for the next one, as it
    /// would on the server: otherwise a few who come back at once would keep all others out.
    pub(crate) fn tenure(self, waiting: usize) -> Tenure {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        Tenure {
            hand_overs: waiting.min(self.max_hand_overs),
            until: Instant::now().checked_add(self.max_tenure),
        }
    }
}

/// What is left of the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenure {
    hand_overs: u32,
    /// `None` is beyond what the clock can tell.
    until: Option<Instant>,
}

impl Tenure {
    /// After one more hand-over, if that is within the limits.
    pub(crate) fn next(self) -> Option<Tenure> {
        let hand_overs = self.hand_overs.checked_sub(1)?;
        let in_time = self.until.is_none_or(|until| Instant::now() < until);
        in_time.then_some(Tenure { hand_overs, ..self })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Limits;

    fn served(max_hand_overs: u32, max_tenure: Duration, waiting: usize) -> usize {
        let limits = Limits {
            max_hand_overs,
            max_tenure,
        };
        let mut tenure = limits.tenure(waiting);
        let mut served = 1;
        while let Some(next) = tenure.next() {
            tenure = next;
            served += 1;
        }
        served
    }

    #[test]
    fn a_tenure_ends_with_those_who_were_waiting() {
        assert_eq!(served(16, Duration::MAX, 0), 1);
        assert_eq!(served(16, Duration::MAX, 3), 4);
    }

    #[test]
    fn a_tenure_ends_with_the_last_hand_over() {
        assert_eq!(served(16, Duration::MAX, 1_000), 17);
        assert_eq!(served(0, Duration::MAX, 1_000), 1);
    }

    #[test]
    fn a_tenure_ends_with_its_time() {
        assert_eq!(served(16, Duration::ZERO, 1_000), 1);
    }
}
