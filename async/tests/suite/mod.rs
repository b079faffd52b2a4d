//! The cases of all servers.

mod cancellation;
mod contention;
mod inspection;
mod lock_pool;
mod locks;
mod pools;
pub(crate) mod support;
mod transactions;
