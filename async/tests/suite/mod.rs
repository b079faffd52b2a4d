//! The cases of all servers.

mod cancellation;
mod contention;
mod derives;
mod inspection;
mod locked;
mod locks;
mod pools;
pub(crate) mod support;
mod transactions;
