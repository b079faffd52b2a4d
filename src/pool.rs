//! [`LockPool`], and every terminal's form that takes its connection from a pool.

use std::fmt;
use std::sync::Arc;

use diesel::r2d2::{ConnectionManager, Pool};

use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::error::LockError;
use crate::name::LockName;

mod forms;
mod held;
mod limits;
mod queue;
pub(crate) mod source;
mod sync;

pub use forms::lock_all_from;
pub use held::PooledHeld;
pub use limits::LockPoolBuilder;
pub use source::{PoolConnection, PoolSource};

use held::{Handed, Place};
use limits::Limits;
use queue::{Joined, Queue, Wants};
use source::Lent;
use source::sealed::Lend;

/// Locks through a pool, which a lock that everybody wants cannot exhaust.
///
/// Whoever waits for a lock on a connection occupies that connection. Sixty-four requests for one row
/// so empty a pool of four, and then every *other* request fails for want of a connection. Here
/// those who want one name queue up in the process, first come, first served, **without a
/// connection**. Only the first of them checks one out and asks the server; when it is done, it hands
/// *the connection with the lock still held* to the next.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
/// let pool: Pool<ConnectionManager<MysqlConnection>> = pool()?;
/// let locks = LockPool::new(pool);
///
/// notification.with_lock_from(&locks, Notification::send)?;
/// # assert!(notification.sent);
/// # Ok(())
/// # }
/// ```
///
/// # What holds for each closure
///
/// The same as on a connection of one's own: the row is read again, an open transaction is refused, a
/// lost lock is reported, and on a panic or an error everything is undone. Before the connection is
/// handed on, the server is asked whether the lock is still ours, which tells the closure that has
/// ended whether it was exclusive and the next that it may begin. After a
/// [`transaction_from`](crate::ModelLock::transaction_from) nobody needs to ask: a COMMIT that succeeded
/// proves that the session, and so its lock, was alive.
///
/// A time-out counts from when the request was made, and covers its turn, its connection and its lock. Who
/// gives up disturbs nobody. A request that does not wait still waits for a connection, as long as
/// the pool does, since it cannot ask without one.
///
/// # What is fair to other processes
///
/// A lock that is handed on is not on the server's market. So this goes on only for as many requests as
/// waited here when the server granted the lock, and at most
/// [`max_hand_overs`](LockPoolBuilder::max_hand_overs) times and for
/// [`max_tenure`](LockPoolBuilder::max_tenure). Then whoever waits on the server goes first.
///
/// # What it cannot do
///
/// The server does not see who waits here, so it does not see deadlocks among them. Within a closure,
/// use the connection that it is given: asking the pool for a lock again waits for another connection, and
/// for the same lock in vain. Take several locks at once with [`lock_all`](crate::lock_all).
///
/// # What it costs
///
/// While others wait here, one round trip for a closure and none for a transaction, beside its own; and no wake-up through
/// the server. With 64 threads on one row and nothing to do under the lock, four connections did 1.9 to 3.6 times as
/// many closures as 64 connections did; with a millisecond to the server and back, 1.07 to 1.18 times as many.
/// (`cargo xtask bench --only hot`; the ratios are of one interleaved run.) A request that waits takes some 80 bytes
/// and its name twice; a name that nobody is here for takes none (`tests/allocations.rs` counts).
///
/// Clones share one queue. Two `LockPool`s made from clones of one pool do not.
pub struct LockPool<C: PoolConnection> {
    pool: Pool<ConnectionManager<C>>,
    queue: Arc<Queue<LockName, Handed<C>>>,
    limits: Limits,
}

impl<C: PoolConnection> LockPool<C> {
    /// With the default limits.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// LockName::named("job").lock().hold_from(&locks, |_| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(pool: Pool<ConnectionManager<C>>) -> Self {
        LockPoolBuilder::default().build(pool)
    }

    /// To set the limits first.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::builder().max_hand_overs(4).build(pool()?);
    /// # LockName::named("job").lock().hold_from(&locks, |_| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> LockPoolBuilder<C> {
        LockPoolBuilder::default()
    }

    /// The pool, for all that needs no lock.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// let unsent: i64 = notifications::table.count().get_result(&mut locks.pool().get()?)?;
    /// # assert_eq!(unsent, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn pool(&self) -> &Pool<ConnectionManager<C>> {
        &self.pool
    }

    pub(crate) fn with_limits(pool: Pool<ConnectionManager<C>>, limits: Limits) -> Self {
        LockPool {
            pool,
            queue: Arc::new(Queue::new()),
            limits,
        }
    }

    /// Whether all connections are in use, and somebody may wait for one.
    fn is_exhausted(&self) -> bool {
        self.pool.state().idle_connections == 0
    }

    /// Who is here at this moment.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// let held = LockName::named("job").lock().acquire_from(&locks)?;
    /// assert_eq!((locks.state().names, locks.state().waiting), (1, 0));
    /// held.release()?;
    /// assert_eq!(locks.state().names, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(&self) -> LockPoolState {
        let (names, waiting) = self.queue.size();
        LockPoolState { names, waiting }
    }
}

impl<C: PoolConnection> PoolSource for LockPool<C> {
    type Connection = C;
}

impl<C: PoolConnection> Lend<C> for LockPool<C> {
    fn acquire(&self, mut asked: Asked, attempt: &Attempt) -> Result<PooledHeld<C>, LockError> {
        let (turn, handed) = match self.queue.join(&asked.name, Wants::All) {
            Joined::First(turn) => (turn, None),
            Joined::Behind(ticket) => {
                asked.observed.found_taken();
                match ticket.wait(attempt.instant()) {
                    Some(given) => given,
                    None => return Err(asked.refused(attempt, |name| attempt.timeout(name))),
                }
            }
        };
        if let Some(handed) = handed {
            return handed.to(self, turn, asked, attempt);
        }
        // On an error the turn goes to the next.
        let held = self.pool.acquire(asked, attempt)?;
        Ok(held.at(Place::new(self, turn)))
    }

    /// All turns are waited for without a connection, and in one order everywhere.
    fn lend(&self, names: &[LockName], attempt: &Attempt) -> Result<Lent<C>, LockError> {
        let mut ordered: Vec<_> = names.iter().collect();
        ordered.sort_by(|one, other| one.cmp_in_process(other));
        ordered.dedup();
        let mut turns = Vec::with_capacity(ordered.len());
        for name in ordered {
            turns.push(match self.queue.join(name, Wants::Turn) {
                Joined::First(turn) => turn,
                Joined::Behind(ticket) => match ticket.wait(attempt.instant()) {
                    Some((turn, _)) => turn,
                    None => {
                        let asked = Asked::new(name.clone());
                        return Err(asked.refused(attempt, |name| attempt.timeout(name)));
                    }
                },
            });
        }
        let lent = self.pool.lend(names, attempt)?;
        Ok(lent.with_turns(turns))
    }
}

impl<C: PoolConnection> Clone for LockPool<C> {
    fn clone(&self) -> Self {
        LockPool {
            pool: self.pool.clone(),
            queue: Arc::clone(&self.queue),
            limits: self.limits,
        }
    }
}

impl<C: PoolConnection> fmt::Debug for LockPool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockPool")
            .field("pool", &self.pool.state())
            .field("state", &self.state())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Who is in a [`LockPool`] at a moment.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::LockPoolState;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let locks = LockPool::new(pool()?);
/// let LockPoolState { names, waiting, .. } = locks.state();
/// assert_eq!((names, waiting), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockPoolState {
    /// Names that are held or waited for. A name that nobody is here for takes no room.
    pub names: usize,
    /// Requests that wait for their turn.
    pub waiting: usize,
}
