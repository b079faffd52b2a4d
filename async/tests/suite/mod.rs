//! The cases of all servers.

mod cancellation;
mod contention;
mod inspection;
mod locks;
pub(crate) mod support;
mod transactions;
