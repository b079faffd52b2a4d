//! [`LockPool`]: locks on connections from a pool, which one contended lock cannot exhaust.

mod budget;
mod builder;
mod connection;
mod guard;
mod handoff;
mod lock_pool;
mod sync;
mod wait_queue;

pub use builder::LockPoolBuilder;
pub use connection::PoolConnection;
pub use guard::PooledLockGuard;
pub use lock_pool::{LockPool, LockPoolState};
