//! `LockPool`: locks on connections from a pool, which one contended lock cannot exhaust.

mod acquire;
mod budget;
#[cfg(feature = "r2d2")]
mod builder;
#[cfg(feature = "r2d2")]
mod connection;
mod driver;
#[cfg(feature = "r2d2")]
mod guard;
mod handoff;
#[cfg(feature = "r2d2")]
mod lock_pool;
mod sync;
mod wait_queue;

pub use acquire::{LockPoolState, PoolQueue, PooledLocks};
pub use budget::Limits;
#[cfg(feature = "r2d2")]
pub use builder::LockPoolBuilder;
#[cfg(feature = "r2d2")]
pub use connection::PoolConnection;
pub use driver::{PoolDriver, PoolError};
#[cfg(feature = "r2d2")]
pub use guard::PooledLockGuard;
#[cfg(feature = "r2d2")]
pub use lock_pool::LockPool;
pub use wait_queue::{Granted, Phase, Waiter};
