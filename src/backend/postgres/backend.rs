//! [`Postgres`]: the backend for PostgreSQL.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Array, BigInt, Nullable};

use super::end_session::end_session;
use super::idle_timeouts::{self, IdleTimeouts};
use super::key::{Key, Level, SessionId, Target};
use super::query::TextQuery;
use super::{acquire, begin, check_server, commit, error, inspect, release, verify};
use crate::backend::{
    AcquireError, AcquireResult, Backend, BeginResult, CheckServer, CommitError, Condition, Held,
    HeldLock, Inspect, InspectError, LockStatus, ReacquireAnswer, ReleaseAnswer, Request,
    ServerReport, SharedLocks, SortResult, TransactionLocks, is_in_savepoint, prove_and_commit,
};
use crate::deadline::Wait;
use crate::driver::Driver;
use crate::error::OpenTransactionReason;
use crate::mode::LockMode;
use crate::name::{KeySource, PostgresKey};
use crate::session::Session;
use crate::transaction::TransactionContext;

/// PostgreSQL.
#[derive(Debug)]
pub struct Postgres;

/// Whether Diesel knows that no transaction is open. It does not on a connection that is lost.
fn has_no_transaction<D: Driver<Db = Pg>>(driver: &mut D) -> bool {
    matches!(driver.transaction_status().transaction_depth(), Ok(None))
}

impl Backend for Postgres {
    type Db = Pg;
    type Key = Key;
    type SessionId = SessionId;
    type IdleTimeouts = IdleTimeouts;

    const BEGINS_WITH_LOCKS: bool = true;
    const COMMIT_KEEPS_LOCKS: bool = false;
    const HAS_POSTGRES_KEYS: bool = true;

    fn acquire<D: Driver<Db = Pg>>(
        driver: &mut D,
        request: Request<'_>,
    ) -> impl Future<Output = AcquireResult<Self>> + Send {
        acquire::acquire(driver, request)
    }

    fn begin_with_locks<D: Driver<Db = Pg>>(
        driver: &mut D,
        locks: &[KeySource<'_>],
        wait: Wait,
        mode: LockMode,
    ) -> impl Future<Output = BeginResult<Self>> + Send {
        begin::begin_with_locks(driver, locks, wait, mode)
    }

    fn outlives_transaction(key: &Key) -> bool {
        key.level == Level::Session
    }

    fn release<D: Driver<Db = Pg>>(
        driver: &mut D,
        key: &Key,
        context: TransactionContext,
    ) -> impl Future<Output = ReleaseAnswer> + Send {
        release::release(driver, key, context)
    }

    fn are_held<D: Driver<Db = Pg>>(
        driver: &mut D,
        keys: &[&Key],
        context: TransactionContext,
    ) -> impl Future<Output = QueryResult<Held>> + Send {
        verify::are_held(driver, keys, context)
    }

    fn release_and_reacquire<D: Driver<Db = Pg>>(
        driver: &mut D,
        key: &Key,
    ) -> impl Future<Output = ReacquireAnswer> + Send {
        release::release_and_reacquire(driver, key)
    }

    fn is_session<D: Driver<Db = Pg>>(
        driver: &mut D,
        session: SessionId,
    ) -> impl Future<Output = QueryResult<bool>> + Send {
        commit::is_session(driver, session)
    }

    async fn sort_keys<D: Driver<Db = Pg>>(
        driver: &mut D,
        sources: Vec<KeySource<'_>>,
    ) -> SortResult<Self> {
        let mut keys: Vec<Key> = sources
            .iter()
            .map(|source| Key::new(source, LockMode::Exclusive, Level::Session))
            .collect();
        let items: Vec<String> = keys
            .iter()
            .filter(|key| key.id.is_none())
            .map(|key| format!("(SELECT k FROM {})", key.target.table_sql()))
            .collect();
        if items.is_empty() {
            return Ok(keys);
        }
        let sql = format!("SELECT ARRAY[{}]::bigint[]", items.join(", "));
        let query = TextQuery::<Array<Nullable<BigInt>>>::new(sql);
        let ids: Vec<Option<i64>> = match driver.load_one_and_transaction(query).await {
            (Ok(ids), _) => ids,
            // An aborted transaction, which the next statement would be refused in, too.
            (Err(_), Some(true)) if has_no_transaction(driver) => {
                let reason = OpenTransactionReason::RawBegin;
                return Err((0, AcquireError::OpenTransaction(reason)));
            }
            (Err(error), _) => return Err((0, AcquireError::Database(error))),
        };
        let unknown = keys.iter_mut().filter(|key| key.id.is_none());
        for (key, id) in unknown.zip(ids) {
            key.id = id.map(PostgresKey::One);
        }
        match keys.iter().position(|key| key.id.is_none()) {
            Some(index) => Err((index, error::no_table(&keys[index]))),
            None => Ok(keys),
        }
    }

    fn end_session<D: Driver<Db = Pg>>(driver: &mut D) -> impl Future<Output = ()> + Send {
        end_session(driver)
    }

    /// Diesel would use a connection again that is only marked as broken.
    fn discard<D: Driver<Db = Pg>>(driver: &mut D) -> impl Future<Output = ()> + Send {
        end_session(driver)
    }

    /// A statement that failed has left nothing behind.
    async fn must_not_run_again<D: Driver<Db = Pg>>(_: &mut D, _: &DieselError) -> bool {
        false
    }

    fn holder<D: Driver<Db = Pg>>(
        driver: &mut D,
        key: &Key,
    ) -> impl Future<Output = Option<Session>> + Send {
        inspect::holder(driver, key)
    }

    fn raise_idle_timeouts<D: Driver<Db = Pg>>(
        driver: &mut D,
        at_least: Duration,
    ) -> impl Future<Output = QueryResult<Option<IdleTimeouts>>> + Send {
        idle_timeouts::raise(driver, at_least)
    }

    fn restore_idle_timeouts<D: Driver<Db = Pg>>(
        driver: &mut D,
        timeouts: IdleTimeouts,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        idle_timeouts::restore(driver, timeouts)
    }

    async fn commit<D: Driver<Db = Pg>>(
        driver: &mut D,
        keys: &[&Key],
    ) -> Result<Condition, CommitError> {
        if let Some(committed) = commit::commit_own_transaction(driver, keys).await {
            return committed;
        }
        // Nested locks need no proof: the transaction holds them until its end.
        let is_of_session = |key: &&Key| key.level == Level::Session;
        let of_session: Vec<&Key> = keys.iter().copied().filter(is_of_session).collect();
        let is_savepoint = is_in_savepoint(driver);
        if of_session.is_empty() && !is_savepoint {
            return commit::commit_without_proof(driver).await;
        }
        match prove_and_commit::<Self, D>(driver, &of_session).await {
            Err(CommitError::Failed(error)) => Err(match commit::failed(driver, error) {
                // The transaction around it was not committed.
                CommitError::Unknown(error) if is_savepoint => CommitError::NoAnswer(error),
                failed => failed,
            }),
            // An aborted transaction answers nothing. It is rolled back.
            Err(CommitError::NoAnswer(error)) if !error::is_closed(&error) => {
                Err(CommitError::Failed(error))
            }
            // The index is that of the lock among all.
            Err(CommitError::NotHeld(index)) => {
                let is_it = |key: &&Key| std::ptr::eq(*key, of_session[index]);
                Err(CommitError::NotHeld(
                    keys.iter().position(is_it).unwrap_or(0),
                ))
            }
            other => other,
        }
    }

    async fn roll_back_all<D: Driver<Db = Pg>>(driver: &mut D) -> QueryResult<()> {
        driver.batch("ROLLBACK").await
    }
}

impl TransactionLocks for Postgres {
    fn acquire_until_commit<D: Driver<Db = Pg>>(
        driver: &mut D,
        request: Request<'_>,
    ) -> impl Future<Output = AcquireResult<Self>> + Send {
        acquire::acquire_until_commit(driver, request)
    }
}

impl SharedLocks for Postgres {}

impl Inspect for Postgres {
    fn status<D: Driver<Db = Pg>>(
        driver: &mut D,
        lock: KeySource<'_>,
    ) -> impl Future<Output = QueryResult<LockStatus>> + Send {
        inspect::status(driver, Target::of(&lock))
    }

    fn held_locks<D: Driver<Db = Pg>>(
        driver: &mut D,
    ) -> impl Future<Output = Result<Vec<HeldLock>, InspectError>> + Send {
        inspect::held_locks(driver)
    }
}

impl CheckServer for Postgres {
    fn check_server<D: Driver<Db = Pg>>(
        driver: &mut D,
        keep_alive: Option<Duration>,
    ) -> impl Future<Output = QueryResult<ServerReport>> + Send {
        check_server::check(driver, keep_alive)
    }
}
