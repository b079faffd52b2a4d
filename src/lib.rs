//! A lock of its own for every Diesel model.
//!
//! In a program of many processes, "only one of us may do this to this row now" is one line:
//!
//! ```
//! # include!("doctest_setup.rs");
//! use diesel_advisory_lock::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut conn = establish_connection();
//! let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
//! notification.with_lock(&mut conn, Notification::send)?;
//! # assert!(notification.sent);
//! # Ok(())
//! # }
//! ```
//!
//! `with_lock` takes the lock of row 42, **reads the row again**, runs `send`, and releases. Nobody
//! else, in any process that speaks to this server, runs under this row's lock meanwhile, and
//! whoever comes next sees what `send` has saved: however many try, one mail goes out.
//!
//! The lock is kept by the server (MySQL's and MariaDB's `GET_LOCK`) for **the very connection that
//! the closure gets**. When that connection dies, the server drops the lock and rolls back the open
//! transaction together, so a transaction that commits has held its lock throughout.
//!
//! # Where to find things
//!
//! | to | use |
//! |---|---|
//! | lock a loaded model | [`Lockable::with_lock`], [`Lockable::try_with_lock`] |
//! | wait less or more, scope the lock, write in a transaction | [`Lockable::lock`], which gives a [`ModelLock`] |
//! | lock a row that is not loaded, a table, or anything with a name | [`LockName`], and its [`lock`](LockName::lock), which gives a [`LockRequest`] |
//! | hold a lock beyond one closure | [`Held`], from [`ModelLock::acquire`] or [`LockRequest::acquire`] |
//! | see what can go wrong | [`LockError`] |
//! | use an id type of your own | [`LockKey`] |
//! | build the same name in another language | [`LockName::written`], `docs/lock-names.md` |
//!
//! # What to choose
//!
//! - [`ModelLock::transaction`] when all that is done is in the database: nobody sees half of it.
//! - [`Lockable::with_lock`] when something happens outside, such as a mail that is sent. What
//!   the closure saves is saved at once; if it fails between the mail and the save, the mail is out.
//! - [`LockRequest::hold`] when there is no row to read.
//!
//! # What it does not promise
//!
//! - It is advisory: who does not ask for the lock is not stopped.
//! - It is no lease. It is held until it is released or the connection ends; there is no time limit.
//! - It is no security boundary: any account of the server can take any name.
//! - It holds on one server. Galera and Group Replication with several primaries keep such locks
//!   to each node, and a replica knows nothing of its source's.
//! - "A transaction is open" means open to Diesel. A `BEGIN` sent as raw SQL and `autocommit = 0` cannot
//!   be seen, and then a lock may end before the COMMIT.
//!
//! # Features
//!
//! `mysql` and `r2d2` are on by default. `uuid`, `chrono` and `time` let those types be keys;
//! `32-column-tables`, `64-column-tables` and `128-column-tables` allow composite keys as wide as Diesel's.
//! `bundled` and `buildtime_bindgen` are passed on to `mysqlclient-sys`.
#![deny(missing_docs)]

mod backend;
mod error;
mod held;
mod key;
mod lockable;
#[cfg(feature = "derive")]
mod locked;
mod name;
mod policy;
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
pub use policy::{DEFAULT_TIMEOUT, LockPolicy};
pub use reload::Reload;
pub use request::LockRequest;
pub use source::LockSource;
pub use table::LockTable;

#[cfg(feature = "derive")]
pub use diesel_advisory_lock_derive::{LockKey, Lockable, locked};

/// What the macros expand to.
#[cfg(feature = "derive")]
#[doc(hidden)]
pub mod __private {
    pub use crate::locked::{DefaultPolicy, call, enter, enter_with_copy, finish};
}

/// What a program that locks models imports.
pub mod prelude {
    #[cfg(feature = "derive")]
    pub use crate::locked;
    pub use crate::{Held, LockError, LockKey, LockName, Lockable};
}

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
