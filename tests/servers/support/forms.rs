//! [`Form`]: every way to run a closure under a lock, and [`Clients`], which they run on.

use std::fmt;
use std::sync::Arc;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool};
use diesel_advisory_lock::prelude::*;

use super::db::Locks;
use super::events::{CountEvents, Events};
use super::{Counter, Hook};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Connection,
    Set,
    Method,
    Pool,
    PoolSet,
    LockPool,
    LockPoolSet,
    Guard,
    PoolGuard,
    LockPoolGuard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Run,
    Transaction,
}

/// A plain connection, and locks over a pool.
pub(crate) struct Clients {
    pub(crate) conn: MysqlConnection,
    pub(crate) locks: Locks,
    pub(crate) events: Arc<Events>,
}

impl Form {
    const CLOSURES: [Form; 7] = [
        Form::Connection,
        Form::Set,
        Form::Method,
        Form::Pool,
        Form::PoolSet,
        Form::LockPool,
        Form::LockPoolSet,
    ];

    const GUARDS: [Form; 3] = [Form::Guard, Form::PoolGuard, Form::LockPoolGuard];

    pub(crate) fn of(work: Work) -> Vec<Form> {
        match work {
            Work::Run => [&Form::CLOSURES[..], &Form::GUARDS].concat(),
            Work::Transaction => Form::CLOSURES.to_vec(),
        }
    }

    pub(crate) fn all() -> impl Iterator<Item = (Form, Work)> {
        [Work::Run, Work::Transaction]
            .into_iter()
            .flat_map(|work| Form::of(work).into_iter().map(move |form| (form, work)))
    }

    /// Whether the connection is one of a pool's.
    pub(crate) fn is_pooled(self) -> bool {
        use Form::{LockPool, LockPoolGuard, LockPoolSet, Pool, PoolGuard, PoolSet};
        matches!(
            self,
            Pool | PoolSet | LockPool | LockPoolSet | PoolGuard | LockPoolGuard
        )
    }
}

impl Counter {
    #[locked]
    fn run_locked(
        &mut self,
        conn: &mut MysqlConnection,
        body: impl FnOnce(&mut Counter, &mut MysqlConnection) -> QueryResult<()>,
    ) -> QueryResult<()> {
        body(self, conn)
    }

    #[locked(transaction)]
    fn transact_locked(
        &mut self,
        conn: &mut MysqlConnection,
        body: impl FnOnce(&mut Counter, &mut MysqlConnection) -> QueryResult<()>,
    ) -> QueryResult<()> {
        body(self, conn)
    }
}

impl Clients {
    pub(crate) fn new(url: &str) -> Self {
        Self::prepared(url, |_| {})
    }

    pub(crate) fn hooked(url: &str, hook: &Hook) -> Self {
        let hook = hook.clone();
        Self::prepared(url, move |conn| conn.set_instrumentation(hook.clone()))
    }

    /// With a pool of one connection. Each connection is prepared when it is opened.
    pub(crate) fn prepared(
        url: &str,
        prepare: impl Fn(&mut MysqlConnection) + Send + Sync + 'static,
    ) -> Self {
        let mut conn = MysqlConnection::establish(url).unwrap();
        prepare(&mut conn);
        let events = Arc::new(Events::default());
        let pool = Pool::builder()
            .max_size(1)
            .test_on_check_out(false)
            .connection_customizer(Box::new(Prepare(prepare)))
            .event_handler(Box::new(CountEvents(Arc::clone(&events))))
            .build(ConnectionManager::new(url))
            .unwrap();
        Clients {
            conn,
            locks: LockPool::new(pool),
            events,
        }
    }

    /// Locks counter 1, and `job` too if it is a set.
    pub(crate) fn call(
        &mut self,
        (form, work): (Form, Work),
        body: impl FnOnce(&mut Counter, &mut MysqlConnection) -> QueryResult<()>,
    ) -> QueryResult<()> {
        let counter = &mut Counter { id: 1, value: 0 };
        let job = LockName::named("job");
        let (conn, locks) = (&mut self.conn, &self.locks);
        let is_run = work == Work::Run;
        match form {
            Form::Connection if is_run => counter.lock().run(conn, body),
            Form::Connection => counter.lock().transaction(conn, body),
            Form::Method if is_run => counter.run_locked(conn, body),
            Form::Method => counter.transact_locked(conn, body),
            Form::Pool if is_run => counter.lock().run_from(locks.pool(), body),
            Form::Pool => counter.lock().transaction_from(locks.pool(), body),
            Form::LockPool if is_run => counter.lock().run_from(locks, body),
            Form::LockPool => counter.lock().transaction_from(locks, body),
            Form::Set | Form::PoolSet | Form::LockPoolSet => {
                let set = LockAll::of((counter, &job));
                let body = |(counter, _): (&mut Counter, _), conn: &mut _| body(counter, conn);
                match form {
                    Form::Set if is_run => set.run(conn, body),
                    Form::Set => set.transaction(conn, body),
                    Form::PoolSet if is_run => set.run_from(locks.pool(), body),
                    Form::PoolSet => set.transaction_from(locks.pool(), body),
                    _ if is_run => set.run_from(locks, body),
                    _ => set.transaction_from(locks, body),
                }
            }
            Form::Guard => {
                let mut held = counter.lock().acquire(conn)?;
                body(counter, &mut held)?;
                Ok(held.release()?)
            }
            Form::PoolGuard => {
                let mut held = counter.lock().acquire_from(locks.pool())?;
                body(counter, &mut held)?;
                Ok(held.release()?)
            }
            Form::LockPoolGuard => {
                let mut held = counter.lock().acquire_from(locks)?;
                body(counter, &mut held)?;
                Ok(held.release()?)
            }
        }
    }

    /// The session that the form uses next.
    pub(crate) fn session(&mut self, form: Form) -> i64 {
        match form.is_pooled() {
            true => super::session_id(&mut self.locks.pool().get().unwrap()),
            false => super::session_id(&mut self.conn),
        }
    }
}

struct Prepare<F>(F);

impl<F> fmt::Debug for Prepare<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepare").finish_non_exhaustive()
    }
}

impl<F> CustomizeConnection<MysqlConnection, diesel::r2d2::Error> for Prepare<F>
where
    F: Fn(&mut MysqlConnection) + Send + Sync + 'static,
{
    fn on_acquire(&self, conn: &mut MysqlConnection) -> Result<(), diesel::r2d2::Error> {
        (self.0)(conn);
        Ok(())
    }
}
