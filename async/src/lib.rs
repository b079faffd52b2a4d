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
//! On PostgreSQL, the statement that still runs is canceled by a connection without TLS. If the
//! connection has `sslmode=require`, or was made from a client of tokio-postgres, there is none, and
//! the statement runs to its end: a wait goes on until its timeout, or until the lock is granted, and
//! then the session ends at once. Outside of a runtime, nothing is canceled either.
//!
//! Prefer the timeout of the lock (`.lock().timeout(..)`) to `tokio::time::timeout`: it is just as
//! exact, and the connection lives on.
//!
//! After a future was dropped on a borrowed connection, do not use that connection any more. It is
//! marked as broken, so a pool discards it, and it acquires no further lock. But diesel-async still
//! runs statements on it, and on MySQL a statement may then get the answer to an earlier one.
//!
//! This also holds for statements of your own, on MySQL and MariaDB: after the future of a statement
//! was dropped, diesel-async gives its answer to the next statement, and pools do not notice. The
//! same is true of `pool.get()` on a pool of bb8, which checks a connection by a statement. Locks do
//! notice. A lock on such a connection is [`LockError::Database`], and a lock under which it happened
//! is [`LockError::Lost`]. In both cases the session is ended.
//!
//! A runtime that is shut down ends its tasks in any order. It may end the connection's task, and with
//! it the session, before the future that holds the lock. So a poll that was under way, and code in a
//! `Drop`, may run after the lock is free. No call reports success then.
//!
//! One hole is known. If a body is dropped in the middle of a large result, on a connection that was
//! borrowed from a pool of deadpool, the lock stays held until the pool checks the connection.
//! `LockPool` does not have it: it owns its connections, and drops one that is broken at once.
//!
//! `examples/axum_wallet` is a web service: it maps each error to an HTTP status, and its shutdown
//! drops the requests that wait for a lock.
//!
//! # Pools
//!
//! A waiting call occupies its connection. `LockPool` lets the requests for one lock wait in the
//! process without a connection, and hands the locked connection from one to the next. It takes a
//! pool of deadpool or bb8. A pool of mobc is refused by the compiler: with diesel-async 0.9 it
//! discards good connections and hands out broken ones.
//!
//! bb8 checks a connection when it hands it out. If that check is cut, by bb8's own
//! `connection_timeout` (30 seconds by default) or by a caller of `pool.get()` who is dropped, bb8
//! hands out the connection later with the answer still to come. On MySQL and MariaDB the next call
//! for a lock on it returns `LockError::Database`: no lock is held, the body has not run, and the
//! connection is discarded. A request of a `LockPool` that is dropped, or whose own timeout passes,
//! cuts no check. Keep bb8's timeout longer than the longest pause of the server.
//!
//! # Blocking connections
//!
//! With Diesel's own connections, an async program uses the blocking crate, through
//! `deadpool-diesel` or `spawn_blocking`. A waiter then costs a thread, and a dropped future does not
//! stop its closure. The guide's page on [async services] has examples of both.
//!
//! # Guide
//!
//! The [guide] of the blocking crate is for both crates: add `async` and `.await` to its examples. It
//! has pages on choosing a call, pools, [retries and HTTP statuses], testing, leader election, jobs that
//! run once per period, multi-tenant schemas, and operations.
//!
//! [async services]: https://docs.rs/diesel-advisory-lock/latest/diesel_advisory_lock/guide/async_services/
//! [guide]: https://docs.rs/diesel-advisory-lock/latest/diesel_advisory_lock/guide/
//! [retries and HTTP statuses]: https://docs.rs/diesel-advisory-lock/latest/diesel_advisory_lock/guide/transactions/
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `derive` | yes | the macros |
//! | `mysql`, `postgres` | | the connections of diesel-async; no C library is needed |
//! | `deadpool`, `bb8` | | pools: `LockPool`, and pooled connections |
//! | `32-column-tables` | yes | composite keys of up to 32 columns, as in Diesel |
//! | `64-column-tables`, `128-column-tables` | | wider composite keys |
//! | `uuid`, `chrono`, `time` | | keys of the types of these crates |
//! | `tracing`, `metrics` | | the records of the blocking crate |
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
#[cfg(feature = "derive")]
mod locked_method;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
#[cfg_attr(
    not(any(feature = "mysql", feature = "postgres")),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        unused_macros,
        reason = "without a connection there is no pool"
    )
)]
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod reload;
pub mod server;

pub use body::LockBody;
pub use connection::{LockConnection, LockSource, Supports, SupportsUntilCommit};
pub use diesel_advisory_lock::__core::LockKey;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub use diesel_advisory_lock::__core::LockPoolState;
#[cfg(feature = "metrics")]
pub use diesel_advisory_lock::describe_metrics;
pub use diesel_advisory_lock::{
    DEFAULT_TIMEOUT, FromLockError, HasLockPolicy, KeyParts, Lock, LockError, LockName, LockPolicy,
    LockSet, LockStatus, LockTable, OpenTransactionReason, Outcome, RowKey, TimeoutCause, lock_all,
    mode,
};
pub use guard::LockGuard;
pub use lock::LockDsl;
pub use lockable::Lockable;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub use pool::{ConnectionPool, LockPool, LockPoolBuilder, PooledLockGuard};
pub use reload::{Reload, ReloadSet};
pub use server::check_server;

/// Implements [`LockKey`](trait@LockKey) for a custom type: a newtype is written as its field, an
/// enum without fields as the variant's name.
///
/// ```
/// use diesel_advisory_lock_async::prelude::*;
///
/// #[derive(LockKey)]
/// struct AccountId(i64);
///
/// #[derive(LockKey)]
/// enum Region {
///     #[lock(rename = "eu")]
///     Europe,
///     Asia,
/// }
/// ```
///
/// It is [the derive of the blocking crate](derive@diesel_advisory_lock::LockKey), and writes the
/// same keys.
#[cfg(feature = "derive")]
#[doc(inline)]
pub use diesel_advisory_lock_derive::LockKeyAsync as LockKey;

/// Sets the default timeout and keep-alive of a model's locks: its lock policy.
///
/// ```no_run
/// # #[cfg(feature = "mysql")] type Conn = diesel_async::AsyncMysqlConnection;
/// # #[cfg(not(feature = "mysql"))] type Conn = diesel_async::AsyncPgConnection;
/// use diesel::prelude::*;
/// use diesel_advisory_lock_async::prelude::*;
///
/// # diesel::table! { notifications (id) { id -> Integer, } }
/// #[derive(Queryable, Selectable, Identifiable, Lockable)]
/// #[diesel(table_name = notifications)]
/// #[lock(timeout = "5s")]
/// struct Impatient {
///     id: i32,
/// }
///
/// /// A struct that is not a model may lock a row too. Nothing is reloaded for it.
/// #[derive(Lockable)]
/// #[lock(table = notifications, key(notification_id))]
/// struct Retract {
///     notification_id: i32,
/// }
///
/// # async fn run(conn: &mut Conn) -> Result<(), LockError> {
/// let mut impatient = Impatient { id: 42 };
/// impatient.with_lock(conn, async |_, _| Ok::<_, LockError>(())).await?;
///
/// let retract = Retract { notification_id: 42 };
/// retract.lock().run(conn, async |_, _| Ok::<_, LockError>(())).await?;
/// # Ok(())
/// # }
/// ```
///
/// | option | meaning |
/// |---|---|
/// | `timeout = "5s"` | the timeout; a sum of units such as `"1m 30s"` or `"500ms"` |
/// | `no_wait` | do not wait |
/// | `wait_forever` | wait until the lock is free |
/// | `keep_alive = "10m"` | keep an idle session alive for that time: see [`Lock::keep_alive`] |
/// | `table = accounts, key(from_id)` | for a struct that is not `Identifiable`: the row that it locks |
/// | `crate = path` | the path of the library, if it is renamed |
///
/// The policy is the constant `LOCK_POLICY` of the type, and never changes **which** lock is
/// acquired. The type's own `lock`, `with_lock` and `try_with_lock` start from it, as `#[locked]`
/// methods do. Generic code (`T: Lockable`) and [`lock_all`] start from the default policy: there,
/// pass the constant of [`HasLockPolicy`] to `.policy(..)`.
///
/// [The derive of the blocking crate](derive@diesel_advisory_lock::Lockable) takes the same options.
#[cfg(feature = "derive")]
#[doc(inline)]
pub use diesel_advisory_lock_derive::LockableAsync as Lockable;

/// Runs an `async fn` under the lock of its row. Callers call the method as before.
///
/// ```no_run
/// # #[cfg(feature = "mysql")] type AsyncConnection = diesel_async::AsyncMysqlConnection;
/// # #[cfg(not(feature = "mysql"))] type AsyncConnection = diesel_async::AsyncPgConnection;
/// use diesel::prelude::*;
/// use diesel_advisory_lock_async::prelude::*;
/// use diesel_async::RunQueryDsl;
///
/// # diesel::table! { notifications (id) { id -> Integer, message -> Text, sent -> Bool, } }
/// # #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
/// # struct Notification { id: i32, message: String, sent: bool }
/// impl Notification {
///     #[locked]
///     async fn send(&mut self, conn: &mut AsyncConnection) -> QueryResult<bool> {
///         if self.sent {
///             return Ok(false);
///         }
///         self.sent = true;
///         diesel::update(&*self).set(&*self).execute(conn).await?;
///         Ok(true)
///     }
///
///     #[locked(scope = "rewrite", timeout = "500ms", transaction)]
///     async fn append(&mut self, conn: &mut AsyncConnection, text: &str) -> QueryResult<usize> {
///         self.message.push_str(text);
///         diesel::update(&*self).set(&*self).execute(conn).await
///     }
/// }
///
/// # async fn run(conn: &mut AsyncConnection) -> QueryResult<()> {
/// let mut notification: Notification = notifications::table.find(42).first(conn).await?;
/// notification.send(conn).await?;
/// notification.append(conn, "!").await?;
/// # Ok(())
/// # }
/// ```
///
/// - On **`&mut self`** the row is reloaded into `self` before the body runs.
/// - On **`&self`** the body's `self` is a copy that was loaded under the lock; the caller's model
///   is unchanged. The body becomes a private method, so this does not work in an `impl` of a
///   trait, and the return value cannot borrow from `self`.
/// - One locked method may call another one on its `self` and connection, under the same lock. The
///   lock is then re-entrant, nothing is reloaded, and unsaved changes are kept. Any other copy of
///   the row is reloaded, and so is `self` under another scope.
/// - A method may call itself through `Box::pin`, as every `async fn`.
/// - With `transaction`, the session proves before the COMMIT that it holds the lock, as in
///   [`LockDsl::transaction`].
/// - The method must return a `Result` whose error implements `From<LockError>`.
/// - The method's future is `Send` if its body and its arguments are. If it is dropped, the session
///   is ended: see [Cancellation](crate#cancellation).
///
/// | option | meaning |
/// |---|---|
/// | `scope` | a separate lock for this method, with the method's name as its scope |
/// | `scope = "archive"` | a scope that several methods may share |
/// | `timeout = "500ms"`, `no_wait`, `wait_forever` | overrides the timeout of the model's [`LockPolicy`] |
/// | `keep_alive = "10m"` | overrides the keep-alive of the policy |
/// | `transaction` | acquire, BEGIN, reload, body, proof, COMMIT, release |
/// | `conn = name` | the argument that is the connection, if its type does not show it |
/// | `crate = path` | the path of the library, if it is renamed |
///
/// The connection is the argument whose type is a `&mut` to a type whose name ends in `Connection`,
/// to an `Object` of deadpool, to a [`LockGuard`] or to an `impl LockSource`. The body gets it with
/// its declared type.
#[cfg(feature = "derive")]
#[doc(inline)]
pub use diesel_advisory_lock_derive::locked_async as locked;

/// The functions that the macros expand to.
#[cfg(feature = "derive")]
#[doc(hidden)]
pub mod __private {
    pub use crate::locked_method::{enter, enter_with_copy, finish, never};
    pub use diesel_advisory_lock::__private::{DefaultPolicy, PolicyOf};
    pub use diesel_advisory_lock::Lockable;
}

/// The usual imports of a program that locks models.
pub mod prelude {
    #[cfg(feature = "derive")]
    pub use crate::locked;
    pub use crate::{Lock, LockDsl, LockError, LockGuard, LockKey, LockName, Lockable, lock_all};
    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    pub use crate::{LockPool, PooledLockGuard};
}
