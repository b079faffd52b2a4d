//! Advisory locks for Diesel models: mutual exclusion per row, across processes.
//!
//! Lock a row, and act on its current state, in one line:
//!
//! ```
//! # include!("doctest_setup.rs");
//! use diesel_advisory_lock::prelude::*;
//!
//! # fn main() -> TestResult {
//! # let mut conn = establish_connection();
//! let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
//! notification.with_lock(&mut conn, Notification::send)?;
//! # assert!(notification.sent);
//! # Ok(())
//! # }
//! ```
//!
//! `with_lock` acquires the lock of row 42, **reloads the row**, runs `send`, and releases the
//! lock. Meanwhile no other session on this server can hold this row's lock, and the next holder
//! sees what `send` has saved. However many processes try, one mail is sent.
//!
//! The server holds the lock (`GET_LOCK` of MySQL and MariaDB, `pg_advisory_lock` of PostgreSQL)
//! for **the very connection that the closure gets**. If that connection is lost, the server
//! releases the lock and rolls back the open transaction together. Before a `.transaction` commits,
//! the session proves that it holds the lock, so a transaction that commits has held its lock
//! throughout.
//!
//! The examples use a `MysqlConnection`. With a `PgConnection` the same lines work on
//! [PostgreSQL](#postgresql).
//!
//! # Where to find things
//!
//! | to | use |
//! |---|---|
//! | lock a loaded model | [`Lockable::with_lock`], [`Lockable::try_with_lock`] |
//! | set a timeout or a scope, or use a transaction | [`Lockable::lock`], which returns a [`Lock`] |
//! | lock a row that is not loaded, a table, or anything with a name | [`LockName`], and [`LockName::lock`] |
//! | hold a lock beyond one closure | [`LockGuard`], from [`LockDsl::acquire`] |
//! | lock inside a transaction that is already open (PostgreSQL) | [`LockDsl::until_commit`] |
//! | share a lock between readers (PostgreSQL) | [`Lock::shared`] |
//! | lock several rows or names at once | [`lock_all`] |
//! | lock on a connection from a pool | [`LockPool`], which has the same six finishing methods |
//! | run a method under its model's lock | [`#[locked]`](macro@locked) |
//! | set the default timeout of a model | [`#[derive(Lockable)]`](derive@Lockable), which sets its [`LockPolicy`] |
//! | use a model's policy in generic code, or for several locks | [`HasLockPolicy`] |
//! | handle errors | [`LockError`] |
//! | know whether a failed call has done its work, and repeat it | [`LockError::outcome`], [`LockError::is_retryable`] |
//! | test code that locks | [Testing](#testing) |
//! | do slow work outside of the database under a lock | [`Lock::keep_alive`], [`LockGuard::verify`] |
//! | see which session holds a lock, and which sessions wait | [`LockError::holder`], [`LockName::status`], [`inspect::held_locks`] |
//! | check whether locks hold on a server | [`check_server`] |
//! | operate pools, timeouts, alerts and clusters | [Operations](#pages) |
//! | use a custom id type | [`LockKey`], and [its derive](derive@LockKey) |
//! | build the same name in another language | [`LockName::full_name`], [`LockName::postgres_key`], [Lock names](#pages) |
//! | share a lock with a program that does not use this crate | [`LockName::exact`]; on PostgreSQL [`LockName::exact_key`], [`LockName::exact_keys`] |
//!
//! # Pages
//!
#![cfg_attr(
    doc,
    doc = "
- [Choosing a call](guide::choosing), the cost of each, and alternatives
- [Guarantees](guide::guarantees), and how a call works
- [Locking by id](guide::locking_by_id), then loading
- [Pools](guide::pools)
- [Transactions and retries](guide::transactions), and the HTTP status of each error
- [Testing](guide::testing)
- [Async services](guide::async_services)
- [Leader election](guide::leader_election)
- [A job once per period](guide::once_per_period)
- [Migrations by many replicas](guide::migrations)
- [Multi-tenant schemas](guide::multi_tenant)
- [Coming from Django, Rails, Ruby, .NET, ShedLock or `FOR UPDATE`](guide::coming_from)
- [Questions](guide::faq)
- [Operations](guide::operations): timeouts, alerts, clusters and proxies
- [Lock names](guide::lock_names), for other languages
"
)]
//!
//! # PostgreSQL
//!
//! With the feature `postgres`, locks are acquired on Diesel's `PgConnection` by the same calls.
//! Without the feature `mysql`, no client library of MySQL is needed:
//!
//! ```toml
//! diesel-advisory-lock = { version = "0.1", default-features = false, features = ["derive", "postgres", "r2d2"] }
//! ```
//!
//! What differs:
//!
//! - A lock's key is a 64-bit hash of its name: [`LockName::postgres_key`]. Locks belong to a
//!   database, so a row's namespace is the schema in which its table is found, and a named lock has
//!   none.
//! - In a `.transaction` form at READ COMMITTED, the transaction itself holds the lock, and COMMIT
//!   releases it. It cannot lose the lock, and it needs fewer round trips.
//! - [`LockDsl::until_commit`] acquires a lock inside a transaction that is already open, and
//!   [`Lock::shared`] lets readers share a lock. On another server these calls do not compile.
//! - Inside Diesel's test transaction, the session holds all locks.
//!
//! # Limitations
//!
//! - A lock is advisory: code that does not acquire the lock is not blocked.
//! - It is not a lease: it never expires. It is held until it is released or its session ends.
//! - It is not a security boundary: any account of the server can acquire any name.
//! - Work outside the database, such as a mail, cannot be rolled back. A process that dies after the
//!   mail and before the save leaves a mail that the row does not record.
//! - Names are compared as text. A key whose text depends on the session, or a table name in two
//!   spellings, gives two locks: see [Lock names](#pages).
//! - It holds on one server, and on PostgreSQL in one database. On Galera and on Group Replication
//!   with several primaries, locks are local to each node, and a replica does not share the locks of
//!   its source. [`check_server`] refuses such servers, or warns.
//! - **MySQL does not report a raw `BEGIN`**, so a lock may then be released before the COMMIT.
//!   Start transactions through Diesel.
//! - A lock is refused ([`OpenTransactionReason`]) after a raw `BEGIN` on MariaDB and PostgreSQL,
//!   and on MySQL and MariaDB with `autocommit = 0` or a `completion_type` other than `NO_CHAIN`.
//!   If a closure leaves the session in such a state, its transaction is rolled back and reported
//!   as an error ([`LockError::TransactionLeftOpen`]).
//! - If raw SQL (`pg_advisory_lock`) acquires the same key once more on PostgreSQL, the release does
//!   not notice it, and the session keeps the lock.
//! - A leaked guard, or a connection swapped under a guard, keeps the lock until its session ends;
//!   see [`LockGuard`](LockGuard#limitations).
//!
//! # Testing
//!
//! Diesel's `begin_test_transaction` works: locks are acquired and released inside it, and nothing
//! is committed.
//!
//! ```
//! # include!("doctest_setup.rs");
//! use diesel_advisory_lock::prelude::*;
//!
//! # fn main() -> TestResult {
//! let mut conn = establish_connection();
//! conn.begin_test_transaction()?;
//! let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
//! assert!(notification.with_lock(&mut conn, Notification::send)?);
//! # Ok(())
//! # }
//! ```
//!
//! `conn.test_transaction(..)` is refused ([`LockError::OpenTransaction`]): it runs its closure in
//! an ordinary transaction, which this crate cannot distinguish from one that commits. Inside a
//! test transaction the reload reads that transaction's snapshot. To test two connections against
//! each other, use neither.
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `derive` | yes | the macros |
//! | `mysql` | yes | MySQL and MariaDB; needs `libmariadb-dev` or `libmysqlclient-dev` |
//! | `postgres` | | PostgreSQL; needs `libpq-dev` |
//! | `r2d2` | yes | pools: [`LockPool`], and pooled connections |
//! | `32-column-tables` | yes | composite keys of up to 32 columns, as in Diesel |
//! | `64-column-tables`, `128-column-tables` | | wider composite keys |
//! | `uuid`, `chrono`, `time` | | keys of the types of these crates |
//! | `tracing` | | a span for each lock, and events for problems; see [Operations](#pages) |
//! | `metrics` | | wait and hold times, contention, timeouts, losses; see [Operations](#pages) |
//! | `mysql_backend`, `postgres_backend` | | a server without a connection, for `diesel-advisory-lock-async` |
//! | `bundled`, `buildtime_bindgen` | | the features of `mysqlclient-sys` |
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(any(feature = "mysql", feature = "postgres"), feature = "r2d2")),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "parts of the crate are used only by backends and pools"
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
mod in_use;
pub mod inspect;
mod invalid_name;
mod key;
mod lock;
mod lockable;
#[cfg(feature = "derive")]
mod locked_method;
pub mod mode;
mod name;
mod name_format;
mod one_or_many;
mod options;
mod pool;
mod reload;
pub mod server;
mod session;
mod session_lock;
mod set;
mod table;
mod telemetry;
mod transaction;

pub use backend::{LockConnection, LockSource, Supports, SupportsUntilCommit};
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

/// Implements [`LockKey`](trait@LockKey) for a custom type: a newtype is written as its field, an
/// enum without fields as the variant's name.
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
/// The text is part of the lock's name. If you rename a variant, keep its text with
/// `#[lock(rename = "..")]`. If the library is renamed, pass its path with `#[lock(crate = path)]`.
///
/// [`LockName::row`] takes what Diesel's `find` takes, so a newtype also needs Diesel's
/// `AsExpression` there. A model's [`lock_name`](Lockable::lock_name) does not need it, and neither
/// does `#[derive(Lockable)]` with `#[lock(table = .., key(..))]`.
#[cfg(feature = "derive")]
pub use diesel_advisory_lock_derive::LockKey;

/// Sets the default timeout and keep-alive of a model's locks: its lock policy.
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Queryable, Selectable, Identifiable, Lockable)]
/// #[diesel(table_name = notifications)]
/// #[lock(timeout = "5s")]
/// struct Impatient {
///     id: i32,
/// }
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// Impatient { id: 42 }.with_lock(&mut conn, |_, _| Ok::<_, LockError>(()))?;
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
/// The policy is the constant `LOCK_POLICY` of the type. The type's own `lock`, `with_lock` and
/// `try_with_lock` start from it, as `#[locked]` methods do. It never changes **which** lock is
/// acquired: two structs with the same table and key exclude each other, whatever their policies.
/// The `try_` forms ignore the policy's timeout.
///
/// Generic code (`T: Lockable`) and [`lock_all`] **start from the default policy**, because these
/// three are inherent methods of the type. For such code, the derive implements
/// [`HasLockPolicy`], whose constant is the policy: write `model.lock().policy(T::LOCK_POLICY)`
/// with `T: Lockable + HasLockPolicy`, and `lock_all(..).policy(Account::LOCK_POLICY)`.
///
/// A struct that is not a model, such as a command, may lock a row too. Nothing is reloaded for it,
/// and it has only the method `lock`. Its key need not be one that Diesel's `find` takes. On an
/// `Identifiable` struct, `table` is refused as a conflicting implementation.
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Lockable)]
/// #[lock(table = notifications, key(notification_id))]
/// struct Retract {
///     notification_id: i32,
/// }
///
/// # fn main() -> TestResult {
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

/// Runs a method under the lock of its row. Callers call the method as before.
///
/// ```
/// # include!("doctest_setup.rs");
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
/// # fn main() -> TestResult {
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
/// - On **`&self`** the body's `self` is a copy that was loaded under the lock; the caller's model
///   is unchanged. The body becomes a private method, so this does not work in an `impl` of a
///   trait, and the return value cannot borrow from `self`.
/// - One locked method may call another one on its `self` and connection, under the same lock. The
///   lock is then re-entrant, nothing is reloaded, and unsaved changes are kept. Any other copy of
///   the row is reloaded, and so is `self` under another scope.
/// - With `transaction`, the session proves before the COMMIT that it holds the lock, as in
///   [`LockDsl::transaction`].
/// - The method must return a `Result` whose error implements `From<LockError>`.
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
/// to a [`LockGuard`], a [`PooledLockGuard`] or an `impl LockSource`. The body gets it with its
/// declared type.
#[cfg(feature = "derive")]
pub use diesel_advisory_lock_derive::locked;

/// The functions that the macros expand to.
#[cfg(feature = "derive")]
#[doc(hidden)]
pub mod __private {
    pub use crate::locked_method::{
        DefaultPolicy, MethodResult, PolicyOf, enter, enter_with_copy, finish,
    };
}

/// What `diesel-advisory-lock-async` is built on. It changes without notice.
#[doc(hidden)]
pub mod __core {
    #[cfg(feature = "mysql_backend")]
    pub use crate::backend::MySql;
    #[cfg(feature = "postgres_backend")]
    pub use crate::backend::Postgres;
    pub use crate::backend::{
        Backend, CheckServer, Inspect, LockDriver, SharedLocks, TransactionLocks,
    };
    pub use crate::deadline::Deadline;
    pub use crate::driver::{Driver, Statement};
    pub use crate::guard::{Guard, Parts, Transaction, begin, finish};
    pub use crate::held_locks::HeldLocks;
    pub use crate::in_use::{EnclosingFuture, InUse};
    pub use crate::inspect::{list, status};
    // Without the derive of the same name, which expands to this crate's names.
    pub use crate::key::LockKey;
    pub use crate::lock::or_none;
    pub use crate::lockable::RowLock;
    pub use crate::mode::Mode;
    pub use crate::one_or_many::OneOrMany;
    pub use crate::pool::{
        Granted, Limits, LockPoolState, Phase, PoolDriver, PoolError, PoolQueue, PooledLocks,
        Waiter,
    };
    pub use crate::reload::{check, is_in_use};
    pub use crate::session_lock::{Armed, SessionLock};
    pub use crate::telemetry::Scope;
}

/// The usual imports of a program that locks models.
pub mod prelude {
    #[cfg(feature = "derive")]
    pub use crate::locked;
    pub use crate::{Lock, LockDsl, LockError, LockGuard, LockKey, LockName, Lockable, lock_all};
    #[cfg(feature = "r2d2")]
    pub use crate::{LockPool, PooledLockGuard};
}

/// Runs the README's examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
