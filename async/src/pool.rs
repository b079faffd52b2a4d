//! [`LockPool`]: locks on connections from a pool, which one contended lock cannot exhaust.

#[cfg(feature = "bb8")]
mod bb8;
mod builder;
mod connection_pool;
#[cfg(feature = "deadpool")]
mod deadpool;
mod guard;
mod lock_pool;

pub use builder::LockPoolBuilder;
pub use connection_pool::ConnectionPool;
pub use guard::PooledLockGuard;
pub use lock_pool::LockPool;
