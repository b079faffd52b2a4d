//! [`MySql`]: the backend for MySQL and MariaDB.

use std::time::Duration;

use diesel::mysql::Mysql;
use diesel::result::{Error as DieselError, QueryResult};

use super::end_session::end_session;
use super::key::Key;
use super::{
    acquire, check_server, error_code, idle_timeout, inspect, namespace, release,
    transaction as one_round_trip,
};
use crate::backend::{
    AcquireError, AcquireResult, Backend, CheckServer, Held, HeldLock, Inspect, InspectError,
    LockStatus, ReacquireAnswer, ReleaseAnswer, Request, ServerReport, SortResult,
};
use crate::driver::Driver;
use crate::name::KeySource;
use crate::session::Session;
use crate::transaction::{self, TransactionContext};

/// MySQL or MariaDB.
#[derive(Debug)]
pub struct MySql;

impl Backend for MySql {
    type Db = Mysql;
    type Key = Key;
    type SessionId = u32;
    type IdleTimeouts = Duration;

    fn acquire<D: Driver<Db = Mysql>>(
        driver: &mut D,
        request: Request<'_>,
    ) -> impl Future<Output = AcquireResult<Self>> + Send {
        acquire::acquire(driver, request)
    }

    fn release<D: Driver<Db = Mysql>>(
        driver: &mut D,
        key: &Key,
        context: TransactionContext,
    ) -> impl Future<Output = ReleaseAnswer> + Send {
        release::release(driver, key, context)
    }

    fn are_held<D: Driver<Db = Mysql>>(
        driver: &mut D,
        keys: &[&Key],
        context: TransactionContext,
    ) -> impl Future<Output = QueryResult<Held>> + Send {
        release::are_held(driver, keys, context)
    }

    fn release_and_reacquire<D: Driver<Db = Mysql>>(
        driver: &mut D,
        key: &Key,
    ) -> impl Future<Output = ReacquireAnswer> + Send {
        release::release_and_reacquire(driver, key)
    }

    fn is_session<D: Driver<Db = Mysql>>(
        driver: &mut D,
        session: u32,
    ) -> impl Future<Output = QueryResult<bool>> + Send {
        acquire::is_session(driver, session)
    }

    async fn sort_keys<D: Driver<Db = Mysql>>(
        driver: &mut D,
        sources: Vec<KeySource<'_>>,
    ) -> SortResult<Self> {
        let is_in_session =
            |source: &KeySource<'_>| matches!(source, KeySource::InSessionNamespace { .. });
        let is_mixed = sources.iter().any(is_in_session) && !sources.iter().all(is_in_session);
        // If all names have the session's namespace, or none has, it does not affect the order.
        let namespace = match is_mixed {
            true => namespace::get(driver)
                .await
                .map_err(|error| (0, AcquireError::Database(error)))?,
            false => String::new(),
        };
        let keys = sources
            .into_iter()
            .map(|source| Key(source.full_name(&namespace)));
        Ok(keys.collect())
    }

    fn may_be_same(one: &Key, other: &Key) -> bool {
        one.as_ref().eq_ignore_ascii_case(other.as_ref())
    }

    fn end_session<D: Driver<Db = Mysql>>(driver: &mut D) -> impl Future<Output = ()> + Send {
        end_session(driver)
    }

    /// Diesel never reuses a connection that is marked as broken.
    async fn discard<D: Driver<Db = Mysql>>(driver: &mut D) {
        transaction::mark_broken(driver);
    }

    /// Diesel has cached the statement.
    fn must_not_run_again<D: Driver<Db = Mysql>>(
        driver: &mut D,
        error: &DieselError,
    ) -> impl Future<Output = bool> + Send {
        error_code::error_may_have_run(driver, error)
    }

    fn holder<D: Driver<Db = Mysql>>(
        driver: &mut D,
        key: &Key,
    ) -> impl Future<Output = Option<Session>> + Send {
        inspect::holder(driver, key)
    }

    fn raise_idle_timeouts<D: Driver<Db = Mysql>>(
        driver: &mut D,
        at_least: Duration,
    ) -> impl Future<Output = QueryResult<Option<Duration>>> + Send {
        idle_timeout::raise(driver, at_least)
    }

    fn restore_idle_timeouts<D: Driver<Db = Mysql>>(
        driver: &mut D,
        timeout: Duration,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        idle_timeout::set(driver, timeout)
    }

    fn begin<D: Driver<Db = Mysql>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        one_round_trip::begin(driver)
    }

    fn commit_transaction<D: Driver<Db = Mysql>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        one_round_trip::commit(driver)
    }

    fn roll_back_all<D: Driver<Db = Mysql>>(
        driver: &mut D,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        one_round_trip::roll_back_all(driver)
    }
}

impl Inspect for MySql {
    fn status<D: Driver<Db = Mysql>>(
        driver: &mut D,
        lock: KeySource<'_>,
    ) -> impl Future<Output = QueryResult<LockStatus>> + Send {
        inspect::status(driver, lock)
    }

    fn held_locks<D: Driver<Db = Mysql>>(
        driver: &mut D,
    ) -> impl Future<Output = Result<Vec<HeldLock>, InspectError>> + Send {
        inspect::held_locks(driver)
    }
}

impl CheckServer for MySql {
    fn check_server<D: Driver<Db = Mysql>>(
        driver: &mut D,
        keep_alive: Option<Duration>,
    ) -> impl Future<Output = QueryResult<ServerReport>> + Send {
        check_server::check(driver, keep_alive)
    }
}
