//! Pages for reading: one task each.
//!
//! | | |
//! |---|---|
//! | **Calls** | [Choosing a call](choosing), [locking by id](locking_by_id), [pools], [transactions and retries](transactions), [testing], [async services](async_services) |
//! | **Recipes** | [Leader election](leader_election), [a job once per period](once_per_period), [migrations by many replicas](migrations), [multi-tenant schemas](multi_tenant) |
//! | **Reference** | [guarantees], [operations], [lock name format](lock_names), [questions](faq) |
//! | **Moving** | [Coming from Django, Rails, .NET, ShedLock, `FOR UPDATE`](coming_from) |

/// Which of the calls to use, and what each costs.
#[doc = include_str!("guide/choosing.md")]
pub mod choosing {}

/// What the crate does in a call, and what it guarantees.
#[doc = include_str!("guide/guarantees.md")]
pub mod guarantees {}

/// The lock of a row whose id is known, and which is loaded under the lock.
#[doc = include_str!("guide/locking_by_id.md")]
pub mod locking_by_id {}

/// One contended row does not exhaust a pool: `LockPool`.
#[doc = include_str!("guide/pools.md")]
pub mod pools {}

/// What an error says about the work, when to repeat a call, and which HTTP status to return.
#[doc = include_str!("guide/transactions.md")]
pub mod transactions {}

/// Test transactions, pools in tests, and locks that a test holds.
#[doc = include_str!("guide/testing.md")]
pub mod testing {}

/// Async programs: diesel-async, or blocking connections with `interact` and `spawn_blocking`.
#[doc = include_str!("guide/async_services.md")]
pub mod async_services {}

/// One of several replicas leads while it holds a named lock.
#[doc = include_str!("guide/leader_election.md")]
pub mod leader_election {}

/// A nightly job on several replicas: a lock, and a row that says when the job last ran.
#[doc = include_str!("guide/once_per_period.md")]
pub mod once_per_period {}

/// Replicas that start at the same time run their migrations once.
#[doc = include_str!("guide/migrations.md")]
pub mod migrations {}

/// A schema or a database for each tenant: which locks exclude each other.
#[doc = include_str!("guide/multi_tenant.md")]
pub mod multi_tenant {}

/// The calls of other libraries, beside those of this one.
#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}

/// Short answers.
#[doc = include_str!("guide/faq.md")]
pub mod faq {}

/// Setup, monitoring and troubleshooting: pools, timeouts, errors, alerts, clusters and proxies.
///
/// [lock-names]: crate::guide::lock_names#limitations
/// [errors]: crate::guide::transactions#what-an-error-says-about-the-work
#[doc = include_str!("../docs/operations.md")]
pub mod operations {}

/// The format of lock names, for other languages, with golden values.
///
/// [django]: crate::guide::coming_from#migrating-from-the-django-mixin
/// [operations]: crate::guide::operations#by-sql-on-postgresql
#[doc = include_str!("../docs/lock-names.md")]
pub mod lock_names {}
