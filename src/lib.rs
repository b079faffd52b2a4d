//! A lock of its own for every Diesel model.
//!
//! In a program of many processes, "only one of us may do this to this row now" is one line:
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
//! `with_lock` acquires the lock of row 42, **reloads the row**, runs `send`, and releases. No
//! other process that uses this server runs under this row's lock meanwhile, and the next holder
//! sees what `send` has saved: however many try, one mail goes out.
//!
//! The lock is kept by the server (MySQL's and MariaDB's `GET_LOCK`) for **the very connection that
//! the closure gets**. When that connection dies, the server releases the lock and rolls back the
//! open transaction together. Before a `.transaction` commits, the session proves that it holds the
//! lock, so a transaction that commits has held its lock throughout.
//!
//! # Where to find things
//!
//! | to | use |
//! |---|---|
//! | lock a loaded model | [`Lockable::with_lock`], [`Lockable::try_with_lock`] |
//! | wait less or more, scope the lock, write in a transaction | [`Lockable::lock`], which gives a [`Lock`] |
//! | lock a row that is not loaded, a table, or anything with a name | [`LockName`], and its [`lock`](LockName::lock), which gives a [`Lock`] |
//! | hold a lock beyond one closure | [`LockGuard`], from [`LockDsl::acquire`] |
//! | lock several rows or names at once | [`lock_all`] |
//! | lock on a connection from a pool | [`LockPool`], which has the same six finishing methods |
//! | lock a method with one line above it | [`#[locked]`](macro@locked) |
//! | let a model wait longer or shorter | [`#[derive(Lockable)]`](derive@Lockable), which sets its [`LockPolicy`] |
//! | use a model's policy in generic code, or for several locks | [`HasLockPolicy`] |
//! | see what can go wrong | [`LockError`] |
//! | know whether a failed call has done its work, and repeat it | [`LockError::outcome`], [`LockError::is_retryable`] |
//! | test code that locks | [Testing](#testing) |
//! | be busy elsewhere under a lock | [`Lock::keep_alive`], [`LockGuard::verify`] |
//! | see which session holds a lock, and which wait | [`LockError::holder`], [`LockName::status`], [`inspect::held_locks`] |
//! | know what the server can promise | [`check_server`] |
//! | operate it: pool, waits, alerts, clusters | `docs/operations.md` |
//! | use an id type of your own | [`LockKey`], and [its derive](derive@LockKey) |
//! | build the same name in another language | [`LockName::full_name`], `docs/lock-names.md` |
//!
//! # Pages
//!
#![cfg_attr(
    doc,
    doc = "- [Choosing between the calls](guide::choosing), and what each costs"
)]
#![cfg_attr(
    doc,
    doc = "- [Coming from Django, Rails, Ruby's gem or .NET](guide::coming_from): their calls beside these"
)]
//! - [Operating it](https://docs.rs/crate/diesel-advisory-lock/latest/source/docs/operations.md): pools, waits, alerts,
//!   clusters and proxies
//! - [The written name](https://docs.rs/crate/diesel-advisory-lock/latest/source/docs/lock-names.md), for other languages
//!
//! # What it does not promise
//!
//! - It is advisory: code that does not acquire the lock is not blocked.
//! - It is not a lease. It is held until it is released or the connection ends; there is no time
//!   limit.
//! - It is no security boundary: any account of the server can take any name.
//! - It holds on one server. Galera and Group Replication with several primaries keep such locks to
//!   each node, and a replica knows nothing of its source's. [`check_server`] refuses them, or
//!   warns.
//! - **A raw `BEGIN` is invisible on MySQL**, since no variable of the session reports it. A lock
//!   may then be released before the COMMIT. Start transactions through Diesel. A raw `BEGIN` on
//!   MariaDB, and on both servers `autocommit = 0` and a `completion_type` other than `NO_CHAIN`,
//!   are refused when a lock is acquired ([`OpenTransactionReason`]), and rolled back and reported
//!   if a closure leaves them ([`LockError::TransactionLeftOpen`]).
//! - A leaked guard, or a connection swapped under one, keeps the lock until its session ends:
//!   [`LockGuard`](LockGuard#limitations).
//!
//! # Testing
//!
//! Diesel's `begin_test_transaction` works: locks are acquired and released inside it, and nothing
//! is committed.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
//! use diesel_advisory_lock::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut conn = establish_connection();
//! conn.begin_test_transaction()?;
//! let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
//! assert!(notification.with_lock(&mut conn, Notification::send)?);
//! # Ok(())
//! # }
//! ```
//!
//! `conn.test_transaction(..)` is refused ([`LockError::OpenTransaction`]). It runs its closure in
//! an ordinary transaction, which nothing tells apart from one that will commit. Inside a test
//! transaction the reload reads that transaction's snapshot; to test two connections against each
//! other, use neither.
//!
//! # Features
//!
//! On by default: `derive` (the macros), `mysql`, `r2d2`, and `32-column-tables`, which like
//! `64-column-tables` and `128-column-tables` allows composite keys as wide as Diesel's tuples
//! under those names. `uuid`, `chrono` and `time` let those types be keys. `tracing` has a span for
//! each lock and events for what should not be, `metrics` counts and measures by table or name;
//! `docs/operations.md` lists them. `bundled` and `buildtime_bindgen` are passed on to
//! `mysqlclient-sys`.
#![deny(missing_docs)]
#![cfg_attr(
    not(all(feature = "mysql", feature = "r2d2")),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "what only servers and pools use stands beside the rest"
    )
)]

mod backend;
mod deadline;
mod driver;
mod error;
mod guard;
#[cfg(any(doc, doctest))]
pub mod guide;
mod held_locks;
mod holder;
mod in_use;
pub mod inspect;
mod invalid_name;
mod key;
mod lock;
mod lockable;
#[cfg(feature = "derive")]
mod locked_method;
mod name;
mod name_format;
mod one_or_many;
mod options;
#[cfg(feature = "r2d2")]
mod pool;
mod reload;
pub mod server;
mod session_lock;
mod set;
mod table;
mod telemetry;
mod transaction;

pub use backend::{LockConnection, LockSource};
pub use error::{FromLockError, LockError, OpenTransactionReason, Outcome, TimeoutCause};
pub use guard::LockGuard;
pub use inspect::LockStatus;
pub use key::{KeyParts, LockKey};
pub use lock::{Lock, LockDsl, lock_all};
pub use lockable::Lockable;
pub use name::LockName;
pub use options::{DEFAULT_TIMEOUT, HasLockPolicy, LockPolicy};
#[cfg(feature = "r2d2")]
pub use pool::{LockPool, LockPoolBuilder, LockPoolState, PoolConnection, PooledLockGuard};
pub use reload::Reload;
pub use server::check_server;
pub use set::{LockSet, ReloadSet};
pub use table::{LockTable, RowKey};
#[cfg(feature = "metrics")]
pub use telemetry::describe_metrics;

/// Lets a type of your own stand in a lock's name: a newtype as what it wraps, an enum without fields by the
/// variant's name.
///
/// ```
/// use diesel_advisory_lock::prelude::*;
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
/// The text is part of the lock's name: rename a variant as you would rename a column, and keep its text
/// with `#[lock(rename = "..")]`. `#[lock(crate = path)]` names the library where it was renamed.
///
/// A newtype that has only `LockKey` does not fit [`LockName::row`], which takes what Diesel's
/// `find` takes: derive Diesel's `AsExpression` as well. A model with such a key works, since its
/// name comes from the loaded key. So does `#[derive(Lockable)]` with
/// `#[lock(table = .., key(..))]`, which goes around `find`:
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(LockKey)]
/// struct AccountId(i32);
///
/// #[derive(Lockable)]
/// #[lock(table = accounts, key(id))]
/// struct Close {
///     id: AccountId,
/// }
///
/// # fn main() {
/// let close = Close { id: AccountId(7) };
/// assert_eq!(close.lock_name(), LockName::row(accounts::table, 7));
/// # }
/// ```
#[cfg(feature = "derive")]
pub use diesel_advisory_lock_derive::LockKey;

/// Gives a model a lock policy: how long its requests wait and hold that do not say so themselves.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Queryable, Selectable, Identifiable, Lockable)]
/// #[diesel(table_name = notifications)]
/// #[lock(timeout = "5s")]
/// struct Impatient {
///     id: i32,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// Impatient { id: 42 }.with_lock(&mut conn, |_, _| Ok::<_, LockError>(()))?;
/// # Ok(())
/// # }
/// ```
///
/// | option | |
/// |---|---|
/// | `timeout = "5s"` | wait that long; any sum of units as in `"1m 30s"` or `"500ms"` |
/// | `no_wait` | do not wait |
/// | `wait_forever` | wait until the lock is free |
/// | `keep_alive = "10m"` | keep the session alive for as long: see [`Lock::keep_alive`] |
/// | `table = accounts, key(from_id)` | for a struct that is not `Identifiable`: whose row it locks |
/// | `crate = path` | the library, where it was renamed |
///
/// The policy is the constant `LOCK_POLICY` of the type, and the type's own `lock`, `with_lock` and
/// `try_with_lock` start from it, as `#[locked]` methods do. It never changes **which** lock is
/// taken: two structs that name the same table and key exclude each other whatever their policies.
/// The `try_` forms do not wait by a policy.
///
/// `lock`, `with_lock` and the like are inherent methods of the type. Generic code (`T: Lockable`)
/// and [`lock_all`] do not call them, and **start from the default policy**. For them, the derive
/// implements [`HasLockPolicy`], whose constant is the policy: write
/// `model.lock().policy(T::LOCK_POLICY)` with `T: Lockable + HasLockPolicy`, and
/// `lock_all(..).policy(Account::LOCK_POLICY)`.
///
/// A struct that is no row itself, such as a command, may stand for one. There is nothing to reload
/// then, so its `lock` gives a [`Lock`]. Its key need not be one that Diesel's `find` takes.
/// (On an `Identifiable` struct, whose row is known, `table` is refused as a conflicting
/// implementation.)
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Lockable)]
/// #[lock(table = notifications, key(notification_id))]
/// struct Retract {
///     notification_id: i32,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let retract = Retract { notification_id: 42 };
/// retract.lock().run(&mut conn, |_, conn| {
///     diesel::delete(notifications::table.find(retract.notification_id)).execute(conn)
/// })?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "derive")]
pub use diesel_advisory_lock_derive::Lockable;

/// Runs a method under the lock of its row: one line above it, and callers call it as ever.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
///
/// impl Notification {
///     #[locked]
///     fn deliver(&mut self, conn: &mut MysqlConnection) -> QueryResult<bool> {
///         self.send(conn)
///     }
///
///     #[locked(scope = "rewrite", timeout = "500ms", transaction)]
///     fn append(&mut self, conn: &mut MysqlConnection, text: &str) -> QueryResult<usize> {
///         self.message.push_str(text);
///         diesel::update(&*self).set(&*self).execute(conn)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
/// notification.deliver(&mut conn)?;
/// notification.append(&mut conn, "!")?;
/// # assert_eq!(notification.message, "Hello world!");
/// # Ok(())
/// # }
/// ```
///
/// - On **`&mut self`** the row is reloaded into `self` before the body runs.
/// - On **`&self`** the body's `self` is a copy that was loaded under the lock; the caller's is
///   untouched. The body becomes a private method beside it, so this does not work in an `impl` of
///   a trait, and what is returned cannot borrow from `self`.
/// - One locked method may call another one on its own `self` and connection, under the same lock:
///   the lock nests, nothing is reloaded, and changes that are not saved yet are kept. Any other
///   copy of the row is reloaded, and so is `self` under another scope.
/// - With `transaction`, the session proves before the COMMIT that it holds the lock, as in
///   [`LockDsl::transaction`].
/// - The method returns a `Result` whose error has `From<LockError>`.
///
/// | option | |
/// |---|---|
/// | `scope` | a lock for this method alone, named as the method is |
/// | `scope = "archive"` | the same by another name, which several methods may share |
/// | `timeout = "500ms"`, `no_wait`, `wait_forever` | how long to wait, rather than by the model's [`LockPolicy`] |
/// | `keep_alive = "10m"` | keep the session alive for as long, rather than by the policy |
/// | `transaction` | lock, BEGIN, reload, body, proof, COMMIT, release |
/// | `conn = name` | the argument that is the connection, where its type does not tell |
/// | `crate = path` | the library, where it was renamed |
///
/// The connection is the argument whose type is a `&mut` to something named `..Connection`, a [`LockGuard`], a
/// [`PooledLockGuard`] or `impl LockSource`. The body sees it with the type that it was declared with.
#[cfg(feature = "derive")]
pub use diesel_advisory_lock_derive::locked;

/// What the macros expand to.
#[cfg(feature = "derive")]
#[doc(hidden)]
pub mod __private {
    pub use crate::locked_method::{DefaultPolicy, PolicyOf, enter, enter_with_copy, finish};
}

/// What a program that locks models imports.
pub mod prelude {
    #[cfg(feature = "derive")]
    pub use crate::locked;
    pub use crate::{Lock, LockDsl, LockError, LockGuard, LockKey, LockName, Lockable, lock_all};
    #[cfg(feature = "r2d2")]
    pub use crate::{LockPool, PooledLockGuard};
}

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
