//! Advisory locks for Diesel models with [diesel-async](diesel_async): the locks of
//! [`diesel-advisory-lock`](diesel_advisory_lock), and safe when a future is dropped.
//!
//! ```no_run
//! use diesel::prelude::*;
//! use diesel_advisory_lock_async::prelude::*;
//! use diesel_async::RunQueryDsl;
//!
//! # diesel::table! { notifications (id) { id -> Integer, sent -> Bool, } }
//! #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
//! struct Notification {
//!     id: i32,
//!     sent: bool,
//! }
//!
//! # #[cfg(feature = "mysql")] type Conn = diesel_async::AsyncMysqlConnection;
//! # #[cfg(not(feature = "mysql"))] type Conn = diesel_async::AsyncPgConnection;
//! impl Notification {
//!     async fn send(&mut self, conn: &mut Conn) -> QueryResult<bool> {
//!         if self.sent {
//!             return Ok(false);
//!         }
//!         self.sent = true;
//!         diesel::update(&*self).set(&*self).execute(conn).await?;
//!         Ok(true)
//!     }
//! }
//!
//! # async fn run(conn: &mut Conn) -> QueryResult<()> {
//! let mut notification: Notification = notifications::table.find(42).first(conn).await?;
//! notification.with_lock(conn, Notification::send).await?;
//! # Ok(())
//! # }
//! ```
//!
//! All names are those of the blocking crate, and both crates share their locks: a row that is
//! locked here is locked there. The blocking crate's documentation says what the calls guarantee.
//! To move a program, add `async` and `.await`, and import this crate's prelude.
//!
//! # Cancellation
//!
//! A future may be dropped at any `.await`: by `tokio::time::timeout`, by `select!`, with its task,
//! or with its runtime. Then the session is **ended**, since a statement may be under way on it. The
//! lock is free within milliseconds, an open transaction is rolled back, no wait goes on in the
//! server, and no pool hands out the connection again.
//!
//! Prefer the timeout of the lock (`.lock().timeout(..)`) to `tokio::time::timeout`: it is just as
//! exact, and the connection lives on.
//!
//! After a future was dropped on a borrowed connection, do not use that connection any more. A pool
//! discards it.
//!
//! `examples/axum_wallet` is a web service: it maps each error to an HTTP status, and its shutdown
//! drops the requests that wait for a lock.
//!
//! # Blocking connections
//!
//! With Diesel's own connections, an async program uses the blocking crate, through
//! `deadpool-diesel` or `spawn_blocking`. A waiter then costs a thread, and a dropped future does not
//! stop its closure. The blocking crate's page on [async programs] has examples of both.
//!
//! [async programs]: https://docs.rs/diesel-advisory-lock/latest/diesel_advisory_lock/guide/async_programs/
//!
//! # What is missing
//!
//! This crate is being built. It does not have `LockPool`, `#[locked]` and the derives yet, and its
//! tests are not yet the whole suite of the blocking crate.
//!
//! One hole is known. If a body is dropped in the middle of a large result, on a connection that was
//! borrowed from a pool of deadpool, the lock stays held until the pool checks the connection.
#![deny(missing_docs)]

mod body;
#[cfg_attr(
    not(any(feature = "mysql", feature = "postgres")),
    allow(dead_code, reason = "without a connection nothing is canceled")
)]
mod cancel;
mod connection;
mod driver;
mod guard;
pub mod inspect;
mod lock;
mod lockable;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod reload;
pub mod server;

pub use body::LockBody;
pub use connection::{LockConnection, LockSource, Supports, SupportsUntilCommit};
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub use diesel_advisory_lock::__core::LockPoolState;
#[cfg(feature = "metrics")]
pub use diesel_advisory_lock::describe_metrics;
pub use diesel_advisory_lock::{
    DEFAULT_TIMEOUT, FromLockError, HasLockPolicy, KeyParts, Lock, LockError, LockKey, LockName,
    LockPolicy, LockSet, LockStatus, LockTable, OpenTransactionReason, Outcome, RowKey,
    TimeoutCause, lock_all, mode,
};
pub use guard::LockGuard;
pub use lock::LockDsl;
pub use lockable::Lockable;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub use pool::{ConnectionPool, LockPool, LockPoolBuilder, PooledLockGuard};
pub use reload::{Reload, ReloadSet};
pub use server::check_server;

/// The usual imports of a program that locks models.
pub mod prelude {
    pub use crate::{Lock, LockDsl, LockError, LockGuard, LockKey, LockName, Lockable, lock_all};
    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    pub use crate::{LockPool, PooledLockGuard};
}
