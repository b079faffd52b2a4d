//! The cases that the blocking crate and this one share, in the async syntax: see `#[both]`.

#[allow(dead_code, unused_imports, reason = "some are for blocking cases")]
#[path = "../../../tests/suite/support/mod.rs"]
pub(crate) mod support;

#[path = "../../../tests/suite/derives.rs"]
mod derives;
#[path = "../../../tests/suite/faults.rs"]
mod faults;
#[path = "../../../tests/suite/healthy_connections.rs"]
mod healthy_connections;
#[path = "../../../tests/suite/inspect.rs"]
mod inspect;
#[path = "../../../tests/suite/invalid_names.rs"]
mod invalid_names;
#[path = "../../../tests/suite/keep_alive.rs"]
mod keep_alive;
#[path = "../../../tests/suite/key_mismatch.rs"]
mod key_mismatch;
#[path = "../../../tests/suite/lock_pool.rs"]
mod lock_pool;
#[path = "../../../tests/suite/lock_pool_faults.rs"]
mod lock_pool_faults;
#[path = "../../../tests/suite/locked.rs"]
mod locked;
#[path = "../../../tests/suite/lost_in_transaction.rs"]
mod lost_in_transaction;
#[path = "../../../tests/suite/names.rs"]
mod names;
#[path = "../../../tests/suite/outcomes.rs"]
mod outcomes;
#[path = "../../../tests/suite/panics.rs"]
mod panics;
#[path = "../../../tests/suite/reentrant.rs"]
mod reentrant;
#[path = "../../../tests/suite/release_failures.rs"]
mod release_failures;
#[path = "../../../tests/suite/released.rs"]
mod released;
#[path = "../../../tests/suite/reload.rs"]
mod reload;
#[path = "../../../tests/suite/reload_copies.rs"]
mod reload_copies;
#[path = "../../../tests/suite/returned_locked.rs"]
mod returned_locked;
#[path = "../../../tests/suite/sets.rs"]
mod sets;
#[cfg(all(feature = "tracing", feature = "metrics"))]
#[path = "../../../tests/suite/telemetry.rs"]
mod telemetry;
#[path = "../../../tests/suite/test_transactions.rs"]
mod test_transactions;
#[path = "../../../tests/suite/timeout_causes.rs"]
mod timeout_causes;
#[path = "../../../tests/suite/transactions.rs"]
mod transactions;
#[path = "../../../tests/suite/waits.rs"]
mod waits;
