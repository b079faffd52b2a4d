//! Guards hold locks and a connection, and release the locks when they are dropped.

mod lock_guard;
mod run;

pub use lock_guard::LockGuard;
pub(crate) use run::{Guard, Parts, Transaction, reload, run};
#[cfg(feature = "derive")]
pub(crate) use run::{begin, finish};
