//! Guards hold locks and a connection, and release the locks when they are dropped.

mod lock_guard;
mod run;

pub use lock_guard::LockGuard;
pub(crate) use run::{BlockingGuard, reload, run};
pub use run::{Guard, Parts, Transaction, begin, finish};
