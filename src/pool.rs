//! [`LockPool`], and every terminal's form that takes its connection from a pool.

use std::fmt;
use std::sync::Arc;

use diesel::r2d2::{ConnectionManager, Pool};

use crate::all;
use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::error::{LockError, TimeoutCause};
use crate::in_use;
use crate::name::LockName;
use crate::observe;

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
use queue::{Given, Joined, Phase, Queue, Ticket, Wants};
use source::Lent;
use source::sealed::Lend;

/// Locks through a pool that one contended lock cannot exhaust.
///
/// A request that waits for a lock on a connection occupies that connection. Sixty-four requests
/// for one row empty a pool of four, and then every *other* request fails for want of a connection.
/// Through a `LockPool` the requests for one name queue up in the process, first come, first
/// served, **without a connection**. Only the first of them checks one out and asks the server;
/// when it is done, it hands *the connection with the lock still held* to the next.
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
/// The same as on a connection of the caller's: the row is reloaded, an open transaction is
/// refused, a lost lock is reported, and on a panic or an error the open transaction is rolled
/// back.
///
/// Before the connection is handed on, the server is asked whether the session still holds the
/// lock, and whether it is as the next request expects it: no transaction open, no other schema. If
/// it does not hold the lock, the closure that has ended gets [`LockError::Lost`], and nothing is
/// handed on. After a
/// [`transaction_from`](crate::ModelLock::transaction_from) the server is not asked again: the session has proved
/// before the COMMIT that it holds the lock.
///
/// A timeout counts from when the request was made, and covers its turn, its connection and its
/// lock. A request that gives up leaves the queue, and delays no other.
///
/// A request that does not wait (a `try_` form, `.no_wait()`) does not wait for a connection
/// either: if all are in use, it returns [`LockError::Pool`] at once. Where the pool has not
/// reached its size, it waits for the connection that the pool then establishes.
///
/// # What is fair to other processes
///
/// While a lock is handed on, sessions that wait for it on the server do not get it. So this goes
/// on only for as many requests as waited here when the server granted the lock, and at most
/// [`max_hand_overs`](LockPoolBuilder::max_hand_overs) times and for
/// [`max_tenure`](LockPoolBuilder::max_tenure). Then sessions that wait on the server go first.
///
/// # What it cannot do
///
/// The server does not see requests that wait here, so it does not detect deadlocks among them.
/// Within a closure, use the connection that it is given. A call to the pool for the same lock
/// would wait for the closure that it is in: it is refused at once with
/// [`TimeoutCause::EnclosingCall`] where it would wait for its turn behind a closure on the same
/// thread. To acquire several locks, use [`lock_all`](crate::lock_all).
///
/// # What it costs
///
/// While others wait here, one round trip beside the closure's own: whether the session still holds
/// the lock. It is made after a plain closure, and before the COMMIT of a transaction. There is no
/// wake-up through the server. With 64 threads on one row and nothing to do under the lock, four
/// connections did 1.9 to 3.6 times as many closures as 64 connections did; with a millisecond to
/// the server and back, 1.07 to 1.18 times as many. (`cargo xtask bench --only hot`; the ratios are
/// of one interleaved run.) A request that waits takes some 80 bytes and its name twice; a name
/// without requests takes none (`tests/allocations.rs` counts).
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

    /// Whether all connections are in use, and other requests may wait for one.
    fn is_exhausted(&self) -> bool {
        self.pool.state().idle_connections == 0
    }

    /// How many names are held or waited for in this `LockPool` at this moment, and how many
    /// requests wait.
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
        // A refused name must not meet the lock of another one that looks like it.
        if let Err(error) = asked.name.wanted() {
            return Err(asked.refused(attempt, |_| error));
        }
        let (turn, handed) = match self.queue.join(&asked.name, Wants::All) {
            Joined::First(turn) => (turn, None),
            Joined::Behind(ticket) => {
                asked.observed.found_taken();
                match wait_for_turn(ticket, &asked.name, attempt) {
                    Ok(given) => given,
                    Err(phase) => {
                        return Err(
                            asked.refused(attempt, |name| not_your_turn(name, phase, attempt))
                        );
                    }
                }
            }
        };
        if let Some(handed) = handed {
            return handed.to(self, turn, asked, attempt);
        }
        // On an error the turn goes to the next.
        let held = source::acquire(&self.pool, asked, attempt, || {
            turn.set_phase(Phase::Asking);
        })?;
        turn.set_phase(Phase::Holding);
        Ok(held.at(Place::new(self, turn)))
    }

    /// All turns are waited for without a connection, and in one order everywhere.
    fn lend(&self, names: &[LockName], attempt: &Attempt) -> Result<Lent<C>, LockError> {
        all::check(names, attempt)?;
        let mut ordered: Vec<_> = names.iter().collect();
        ordered.sort_by(|one, other| one.cmp_in_process(other));
        ordered.dedup();
        let mut turns = Vec::with_capacity(ordered.len());
        for name in ordered {
            turns.push(match self.queue.join(name, Wants::Turn) {
                Joined::First(turn) => turn,
                Joined::Behind(ticket) => match wait_for_turn(ticket, name, attempt) {
                    Ok((turn, _)) => turn,
                    Err(phase) => {
                        let asked = Asked::new(name.clone());
                        return Err(
                            asked.refused(attempt, |name| not_your_turn(name, phase, attempt))
                        );
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

/// Not for a turn that cannot come: the one whose turn it is runs a closure on this thread, which this call is made in.
fn wait_for_turn<C: PoolConnection>(
    ticket: Ticket<LockName, Handed<C>>,
    name: &LockName,
    attempt: &Attempt,
) -> Result<Given<LockName, Handed<C>>, Option<Phase>> {
    match ticket.phase() {
        Some(phase @ Phase::Running(thread)) if thread == in_use::thread() => Err(Some(phase)),
        _ => observe::while_queued(name, || ticket.wait(attempt.instant())),
    }
}

/// What a request that has waited for its turn in vain was really waiting for.
fn not_your_turn(name: LockName, phase: Option<Phase>, attempt: &Attempt) -> LockError {
    let is_own = match phase {
        Some(Phase::Running(thread)) => thread == in_use::thread(),
        _ => false,
    };
    let cause = match phase {
        _ if is_own || in_use::is_enclosing(&name) => TimeoutCause::EnclosingCall,
        Some(Phase::Connecting) if !attempt.is_without_wait() => {
            return LockError::Pool {
                name,
                source: "the request in front of this one still waits for a connection".into(),
            };
        }
        Some(Phase::Asking) => TimeoutCause::Session,
        _ => TimeoutCause::Queue,
    };
    attempt.timeout(name, cause)
}

/// How many names and requests are in a [`LockPool`] at a moment.
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
    /// Names that are held or waited for. A name without requests takes no memory.
    pub names: usize,
    /// Requests that wait for their turn.
    pub waiting: usize,
}
