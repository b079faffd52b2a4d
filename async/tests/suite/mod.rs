//! The cases of all servers.

mod cancellation;
mod contention;
mod inspection;
mod locks;
mod pools;
pub(crate) mod support;
mod transactions;
