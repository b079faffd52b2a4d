//! [`PoolSource`]: whatever lends connections. Here, a plain pool; a [`LockPool`](super::LockPool) rests on
//! it.

use std::time::Duration;

use diesel::r2d2::{ConnectionManager, Pool, PoolError, PooledConnection, R2D2Connection};

use super::held::{Handed, PooledHeld};
use super::queue::{Phase, Turn};
use crate::all;
use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::backend::LockConnection;
use crate::error::LockError;
use crate::hold::Hold;
use crate::in_use;
use crate::name::LockName;
use sealed::Lend;

/// A connection that can take a lock and be pooled. Never implemented by hand.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::PoolConnection;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// /// What any pool will do for.
/// fn run_job<C: PoolConnection>(locks: &LockPool<C>) -> Result<(), LockError> {
///     LockName::named("job").lock().hold_from(locks, |_| Ok(()))
/// }
/// # run_job(&LockPool::new(pool()?))?;
/// # Ok(())
/// # }
/// ```
pub trait PoolConnection: LockConnection + R2D2Connection + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<C: LockConnection + R2D2Connection + Send + 'static> PoolConnection for C {}

/// What the `_from` forms take: a [`LockPool`](super::LockPool), where requests for one lock queue up without a
/// connection, or r2d2's plain [`Pool`], where each waits on one.
///
/// Sealed: a pool of your own is a `Pool` with a manager of Diesel's.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::PoolSource;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// /// With whichever of the two the caller has.
/// fn run_job(pool: &impl PoolSource) -> Result<(), LockError> {
///     LockName::named("job").lock().hold_from(pool, |_| Ok(()))
/// }
///
/// let pool = pool()?;
/// run_job(&pool)?;
/// run_job(&LockPool::new(pool))?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pool that locks can be taken from",
    label = "pass a `LockPool`, or a `diesel::r2d2::Pool` of `ConnectionManager<MysqlConnection>`",
    note = "with a connection in hand, use the form without `_from`"
)]
pub trait PoolSource: Lend<<Self as PoolSource>::Connection> {
    /// The plain connection, which closures get.
    type Connection: PoolConnection;
}

pub(crate) mod sealed {
    use super::{Asked, Attempt, Lent, LockError, LockName, PoolConnection, PooledHeld};

    /// Out of users' reach, so that it can change with the next pool.
    pub trait Lend<C: PoolConnection> {
        fn acquire(&self, asked: Asked, attempt: &Attempt) -> Result<PooledHeld<C>, LockError>;

        /// A connection for several locks, which are taken by the caller.
        fn lend(&self, names: &[LockName], attempt: &Attempt) -> Result<Lent<C>, LockError>;
    }
}

/// A connection for several locks, and the turns of them. Turns end after the connection is back.
pub struct Lent<C: PoolConnection> {
    conn: PooledConnection<ConnectionManager<C>>,
    turns: Vec<Turn<LockName, Handed<C>>>,
}

impl<C: PoolConnection> Lent<C> {
    pub(super) fn with_turns(self, turns: Vec<Turn<LockName, Handed<C>>>) -> Self {
        for turn in &turns {
            turn.set_phase(Phase::Asking);
        }
        Lent { turns, ..self }
    }

    /// The connection, and what to call as soon as all is acquired on it.
    pub(crate) fn parts(&mut self) -> (&mut C, impl FnOnce() + '_) {
        let running = || {
            for turn in &self.turns {
                turn.set_phase(Phase::Running(in_use::thread()));
            }
        };
        (&mut self.conn, running)
    }
}

impl<C: PoolConnection> PoolSource for Pool<ConnectionManager<C>> {
    type Connection = C;
}

impl<C: PoolConnection> Lend<C> for Pool<ConnectionManager<C>> {
    fn acquire(&self, asked: Asked, attempt: &Attempt) -> Result<PooledHeld<C>, LockError> {
        acquire(self, asked, attempt, || {})
    }

    fn lend(&self, names: &[LockName], attempt: &Attempt) -> Result<Lent<C>, LockError> {
        all::check(names, attempt)?;
        let conn = check_out(self, attempt).map_err(|source| {
            let source = Box::new(source);
            Asked::new(all::label(names)).refused(attempt, |name| LockError::Pool { name, source })
        })?;
        Ok(Lent {
            conn,
            turns: Vec::new(),
        })
    }
}

/// Acquires a lock on a connection of the pool, and calls `connected` in between.
pub(super) fn acquire<C: PoolConnection>(
    pool: &Pool<ConnectionManager<C>>,
    asked: Asked,
    attempt: &Attempt,
    connected: impl FnOnce(),
) -> Result<PooledHeld<C>, LockError> {
    if let Err(error) = asked.name.wanted() {
        return Err(asked.refused(attempt, |_| error));
    }
    let mut conn = match check_out(pool, attempt) {
        Ok(conn) => conn,
        Err(source) => {
            let source = Box::new(source);
            return Err(asked.refused(attempt, |name| LockError::Pool { name, source }));
        }
    };
    connected();
    let hold = Hold::acquire::<C>(&mut conn, asked, attempt)?;
    Ok(PooledHeld::new(conn, hold))
}

/// A call that does not wait for a lock does not wait for a connection to be given back either. One that is still to be
/// established, in a pool that may grow, is waited for.
fn check_out<C: PoolConnection>(
    pool: &Pool<ConnectionManager<C>>,
    attempt: &Attempt,
) -> Result<PooledConnection<ConnectionManager<C>>, PoolError> {
    let may_grow = pool.state().connections < pool.max_size();
    let limit = pool.connection_timeout();
    pool.get_timeout(match attempt.is_without_wait() {
        true if !may_grow => Duration::ZERO,
        true => limit,
        false => attempt.for_connection(limit),
    })
}
