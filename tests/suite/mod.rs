//! The cases that every backend runs unchanged: what the library guarantees, a module for each
//! subject.
//!
//! A target includes this module beside its own module `server`, which says what is the server's
//! own: the connection, the SQL, the settings, and how a session is killed or seen to wait. So a
//! case here names `server::Conn` and no connection of Diesel's, and has SQL that every server
//! takes, or a function of `server`.

pub(crate) mod support;

mod copies;
mod derives;
mod faults;
pub(crate) mod healthy_connections;
pub(crate) mod inspect;
pub(crate) mod keep_alive;
pub(crate) mod key_mismatch;
pub(crate) mod lock_pool;
pub(crate) mod lock_pool_faults;
mod locked;
mod lost_in_transaction;
pub(crate) mod names;
mod nesting;
mod outcomes;
mod panics;
mod pooled;
mod refused_names;
mod release_failures;
mod released;
mod returned_locked;
mod sets;
mod stale;
#[cfg(all(feature = "tracing", feature = "metrics"))]
pub(crate) mod telemetry;
pub(crate) mod test_transactions;
mod timeout_causes;
mod transactions;
mod waits;
