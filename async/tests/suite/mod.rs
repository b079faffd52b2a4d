//! The cases of all servers.

mod cancellation;
mod contention;
mod derives;
mod faults;
mod inspection;
mod lock_pool;
mod locked;
mod locks;
pub(crate) mod outcomes;
mod pools;
mod round_trips;
pub(crate) mod support;
mod transactions;
