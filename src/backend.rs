//! The traits of a backend, and a folder for each.
//!
//! A backend's folder has all its SQL, its answers and its error codes. Code outside of it
//! depends on none of them, except public types that name a server's settings, such as `Finding`.

#![cfg_attr(
    not(feature = "mysql"),
    allow(dead_code, reason = "without a backend only names are used")
)]

mod answers;
mod connection;
mod finding;
mod inspect;
#[cfg(feature = "mysql")]
mod mysql;
mod server_report;
mod traits;

pub(crate) use answers::{
    AcquireError, Acquired, Condition, Held, ReacquireAnswer, ReleaseAnswer, Request,
};
#[cfg(feature = "mysql")]
pub(crate) use connection::sealed;
pub use connection::{LockConnection, LockSource};
pub use finding::Finding;
pub use inspect::{HeldLock, HoldDuration, InspectError, LockStatus};
pub use server_report::{ServerReport, Vendor};
pub(crate) use traits::{AcquireResult, Backend, CheckServer, Inspect};
