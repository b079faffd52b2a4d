//! PostgreSQL: all SQL, and the server's answers.
//!
//! Source: the manual on [advisory locks][locks]. Where it is silent: the tests in `tests/suite/`
//! and `tests/postgres/`, which run every statement on two versions.
//!
//! | function | answers |
//! |---|---|
//! | `pg_advisory_lock`, `pg_advisory_xact_lock` | waits; an error after `lock_timeout` |
//! | `pg_try_advisory_lock` | whether it was acquired |
//! | `pg_advisory_unlock` | whether the session held it; if not, the server logs a warning |
//!
//! A lock is held by the session, or by its transaction ([`Level`](key::Level)):
//!
//! | the call | level |
//! |---|---|
//! | outside a transaction, or in Diesel's test transaction | session |
//! | a `.transaction` form at READ COMMITTED | transaction: COMMIT releases the lock |
//! | a nested call inside a transaction, `.until_commit` | transaction |
//!
//! Which locks a session holds is recorded in the session ([`held`]), since `pg_locks` lists those
//! of the whole cluster.
//!
//! [locks]: https://www.postgresql.org/docs/18/explicit-locking.html#ADVISORY-LOCKS

mod acquire;
mod backend;
mod begin;
mod check_server;
mod commit;
mod end_session;
mod error;
mod held;
mod idle_timeouts;
mod inspect;
mod isolation_hint;
mod key;
mod query;
mod release;
mod settings;
mod verify;
mod wait;

pub use backend::Postgres;
