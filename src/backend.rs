//! The traits of a backend, and a folder for each.
//!
//! A backend's folder has all its SQL, its answers and its error codes. Code outside of it
//! depends on none of them, except public types that name a server's settings, such as `Finding`.

#![cfg_attr(
    not(any(feature = "mysql_backend", feature = "postgres_backend")),
    allow(dead_code, reason = "without a backend only names are used")
)]

mod answers;
mod connection;
mod finding;
mod inspect;
#[cfg(feature = "mysql_backend")]
mod mysql;
#[cfg(feature = "postgres_backend")]
mod postgres;
mod server_report;
mod traits;

pub(crate) use answers::{
    AcquireError, Acquired, CommitError, Condition, Held, ReacquireAnswer, ReleaseAnswer, Request,
};
pub use connection::{LockConnection, LockDriver, LockSource, Supports, SupportsUntilCommit};
pub use finding::Finding;
pub use inspect::{HeldLock, HoldDuration, InspectError, LockStatus};
#[cfg(feature = "mysql_backend")]
pub use mysql::MySql;
#[cfg(feature = "postgres_backend")]
pub use postgres::Postgres;
pub use server_report::{ServerReport, Vendor};
pub(crate) use traits::{AcquireResult, SortResult};
pub use traits::{Backend, CheckServer, Inspect, SharedLocks, TransactionLocks};
#[cfg(feature = "postgres_backend")]
pub(crate) use traits::{BeginResult, is_in_savepoint, prove_and_commit};
