//! A lock of its own for every Diesel model.
#![deny(missing_docs)]

mod backend;
mod error;
mod held;
mod key;
mod lockable;
mod name;
mod reload;
mod request;
mod source;
mod table;
mod transaction;

pub use backend::LockConnection;
pub use error::{FromLockError, LockError};
pub use held::Held;
pub use key::LockKey;
pub use lockable::{Lockable, ModelLock};
pub use name::{KeyParts, LockName};
pub use reload::Reload;
pub use request::{DEFAULT_TIMEOUT, LockRequest};
pub use source::LockSource;
pub use table::LockTable;

/// What a program that locks models imports.
pub mod prelude {
    pub use crate::{Held, LockError, LockKey, LockName, Lockable};
}
