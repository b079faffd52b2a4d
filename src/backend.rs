//! The traits of a backend, and a folder for each.
//!
//! A backend's folder has all its SQL, its answers and its error codes. Code outside of it
//! depends on none of them, except public types that name a server's settings, such as `Finding`.

#![cfg_attr(
    not(any(feature = "mysql", feature = "postgres")),
    allow(dead_code, reason = "without a backend only names are used")
)]

mod answers;
mod connection;
mod finding;
mod inspect;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod server_report;
mod traits;

pub(crate) use answers::{
    AcquireError, Acquired, CommitError, Condition, Held, ReacquireAnswer, ReleaseAnswer, Request,
};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use connection::sealed;
pub use connection::{LockConnection, LockSource, Supports, SupportsUntilCommit};
pub use finding::Finding;
pub use inspect::{HeldLock, HoldDuration, InspectError, LockStatus};
pub use server_report::{ServerReport, Vendor};
pub(crate) use traits::{
    AcquireResult, Backend, CheckServer, Inspect, SortResult, TransactionLocks,
};
#[cfg(feature = "postgres")]
pub(crate) use traits::{BeginResult, SharedLocks, prove_and_commit};
