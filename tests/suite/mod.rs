//! The cases that every backend runs unchanged, with a module for each guarantee.
//!
//! A test target includes this module next to its module `server`, which has what differs between
//! servers: the connection type, SQL, settings, and how to kill a session or see it wait. A case
//! here uses `server::Conn`, the functions of `server`, and SQL that every server accepts.
//!
//! A module in the async syntax is also run by `diesel-advisory-lock-async`: see `#[both]`. A
//! `blocking` case in it is about threads, a client library, or a `Drop` that waits for the server.
//! The other modules are about r2d2, and about async programs that use the blocking crate.

pub(crate) mod support;

mod async_programs;
mod derives;
mod faults;
pub(crate) mod healthy_connections;
pub(crate) mod inspect;
mod invalid_names;
pub(crate) mod keep_alive;
pub(crate) mod key_mismatch;
pub(crate) mod lock_pool;
pub(crate) mod lock_pool_faults;
mod locked;
mod lost_in_transaction;
pub(crate) mod names;
mod outcomes;
mod panics;
mod r2d2_connections;
mod reentrant;
pub(crate) mod release_failures;
mod released;
mod reload;
mod reload_copies;
mod returned_locked;
mod sets;
#[cfg(all(feature = "tracing", feature = "metrics"))]
pub(crate) mod telemetry;
pub(crate) mod test_transactions;
mod timeout_causes;
mod transactions;
mod waits;
