//! The cases of all servers.

mod cancellation;
mod contention;
mod faults;
mod inspection;
mod lock_pool;
mod locks;
pub(crate) mod outcomes;
mod pools;
pub(crate) mod support;
mod transactions;
