//! [`Path`]: every way to run a closure on a model under its lock, so that a case may go through all of them.

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool, PooledConnection};
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{LockSource, PoolSource, Reload};

use super::{Db, Locks};

/// Where the connection comes from, and the form of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    via: Via,
    pub(crate) form: PathForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Connection,
    PooledConnection,
    /// The guard of another lock.
    Guard,
    Pool,
    LockPool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathForm {
    Run,
    TryRun,
    Transaction,
    TryTransaction,
    Acquire,
    TryAcquire,
    /// `LockAll`, with a named lock beside the model.
    Set,
    TrySet,
    SetTransaction,
    TrySetTransaction,
    /// By the name of the row's lock alone.
    Hold,
    TryHold,
    /// `#[locked]`.
    Method,
    SharedMethod,
    TransactionMethod,
    SharedTransactionMethod,
}

/// The lock beside the model in a set.
pub(crate) fn beside() -> LockName {
    LockName::named("beside")
}

impl PathForm {
    pub(crate) const ALL: [PathForm; 16] = [
        PathForm::Run,
        PathForm::TryRun,
        PathForm::Transaction,
        PathForm::TryTransaction,
        PathForm::Acquire,
        PathForm::TryAcquire,
        PathForm::Set,
        PathForm::TrySet,
        PathForm::SetTransaction,
        PathForm::TrySetTransaction,
        PathForm::Hold,
        PathForm::TryHold,
        PathForm::Method,
        PathForm::SharedMethod,
        PathForm::TransactionMethod,
        PathForm::SharedTransactionMethod,
    ];

    /// Whether it commits a transaction of its own.
    pub(crate) fn is_transaction(self) -> bool {
        matches!(
            self,
            PathForm::Transaction
                | PathForm::TryTransaction
                | PathForm::SetTransaction
                | PathForm::TrySetTransaction
                | PathForm::TransactionMethod
                | PathForm::SharedTransactionMethod
        )
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(
            self,
            PathForm::Set
                | PathForm::TrySet
                | PathForm::SetTransaction
                | PathForm::TrySetTransaction
        )
    }

    pub(crate) fn is_guard(self) -> bool {
        matches!(self, PathForm::Acquire | PathForm::TryAcquire)
    }

    /// Whether it reloads the model.
    pub(crate) fn reloads(self) -> bool {
        !matches!(self, PathForm::Hold | PathForm::TryHold)
    }

    /// Whether the closure is given the caller's own model.
    pub(crate) fn gives_the_model(self) -> bool {
        self.reloads() && !self.is_guard() && !self.is_shared()
    }

    fn is_method(self) -> bool {
        matches!(self, PathForm::Method | PathForm::TransactionMethod) || self.is_shared()
    }

    fn is_shared(self) -> bool {
        matches!(
            self,
            PathForm::SharedMethod | PathForm::SharedTransactionMethod
        )
    }

    pub(crate) fn run_on<T: LockedMethods>(
        self,
        conn: &mut impl LockSource<Connection = MysqlConnection>,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        let set = |model| LockAll::of((model, beside()));
        match self {
            PathForm::Run => model.with_lock(conn, body),
            PathForm::TryRun => free(model.try_with_lock(conn, body)),
            PathForm::Transaction => model.lock().transaction(conn, body),
            PathForm::TryTransaction => free(model.lock().try_transaction(conn, body)),
            PathForm::Acquire => {
                let mut held = model.lock().acquire(conn)?;
                body(model, &mut held)?;
                held.release()
            }
            PathForm::TryAcquire => {
                let mut held = model.lock().try_acquire(conn)?.expect(FREE);
                body(model, &mut held)?;
                held.release()
            }
            PathForm::Set => set(model).run(conn, |(model, _), conn| body(model, conn)),
            PathForm::TrySet => {
                free(set(model).try_run(conn, |(model, _), conn| body(model, conn)))
            }
            PathForm::SetTransaction => {
                set(model).transaction(conn, |(model, _), conn| body(model, conn))
            }
            PathForm::TrySetTransaction => {
                free(set(model).try_transaction(conn, |(model, _), conn| body(model, conn)))
            }
            PathForm::Hold => model
                .lock_name()
                .lock()
                .hold(conn, |conn| body(model, conn)),
            PathForm::TryHold => {
                let request = model.lock_name().lock();
                free(request.try_hold(conn, |conn| body(model, conn)))
            }
            PathForm::Method => model.method(conn, body),
            PathForm::SharedMethod => model.shared_method(conn, body),
            PathForm::TransactionMethod => model.transaction_method(conn, body),
            PathForm::SharedTransactionMethod => model.shared_transaction_method(conn, body),
        }
    }

    fn run_from<T: LockedMethods>(
        self,
        pool: &impl PoolSource<Connection = MysqlConnection>,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        let set = |model| LockAll::of((model, beside()));
        match self {
            PathForm::Run => model.with_lock_from(pool, body),
            PathForm::TryRun => free(model.try_with_lock_from(pool, body)),
            PathForm::Transaction => model.lock().transaction_from(pool, body),
            PathForm::TryTransaction => free(model.lock().try_transaction_from(pool, body)),
            PathForm::Acquire => {
                let mut held = model.lock().acquire_from(pool)?;
                body(model, &mut held)?;
                held.release()
            }
            PathForm::TryAcquire => {
                let mut held = model.lock().try_acquire_from(pool)?.expect(FREE);
                body(model, &mut held)?;
                held.release()
            }
            PathForm::Set => set(model).run_from(pool, |(model, _), conn| body(model, conn)),
            PathForm::TrySet => {
                free(set(model).try_run_from(pool, |(model, _), conn| body(model, conn)))
            }
            PathForm::SetTransaction => {
                set(model).transaction_from(pool, |(model, _), conn| body(model, conn))
            }
            PathForm::TrySetTransaction => {
                free(set(model).try_transaction_from(pool, |(model, _), conn| body(model, conn)))
            }
            PathForm::Hold => {
                let request = model.lock_name().lock();
                request.hold_from(pool, |conn| body(model, conn))
            }
            PathForm::TryHold => {
                let request = model.lock_name().lock();
                free(request.try_hold_from(pool, |conn| body(model, conn)))
            }
            PathForm::Method
            | PathForm::SharedMethod
            | PathForm::TransactionMethod
            | PathForm::SharedTransactionMethod => panic!("a method takes a connection"),
        }
    }
}

const FREE: &str = "no other session has the lock";

fn free(tried: Result<Option<()>, LockError>) -> Result<(), LockError> {
    tried.map(|ran| ran.expect(FREE))
}

impl Path {
    pub(crate) fn all() -> impl Iterator<Item = Path> {
        let vias = [
            Via::Connection,
            Via::PooledConnection,
            Via::Guard,
            Via::Pool,
            Via::LockPool,
        ];
        vias.into_iter()
            .flat_map(|via| PathForm::ALL.map(|form| Path { via, form }))
            .filter(|path| {
                !(path.form.is_method() && matches!(path.via, Via::Pool | Via::LockPool))
            })
    }

    /// A connection for it, or a pool of one.
    pub(crate) fn source(self, db: &Db) -> Source {
        match self.via {
            Via::Connection => Source::Connection(db.conn()),
            Via::PooledConnection => Source::PooledConnection(db.pool(1).0.get().unwrap()),
            Via::Guard => Source::Guard(db.conn()),
            Via::Pool => Source::Pool(db.pool(1).0),
            Via::LockPool => Source::LockPool(db.locks(1)),
        }
    }

    pub(crate) fn run<T: LockedMethods>(
        self,
        source: &mut Source,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        match source {
            Source::Connection(conn) => self.form.run_on(conn, model, body),
            Source::PooledConnection(conn) => self.form.run_on(conn, model, body),
            Source::Guard(conn) => {
                let mut held = LockName::named("around").lock().acquire(conn)?;
                self.form.run_on(&mut held, model, body)
            }
            Source::Pool(pool) => self.form.run_from(pool, model, body),
            Source::LockPool(locks) => self.form.run_from(locks, model, body),
        }
    }

    /// The same on a new connection or pool.
    pub(crate) fn run_once<T: LockedMethods>(
        self,
        db: &Db,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        self.run(&mut self.source(db), model, body)
    }
}

pub(crate) enum Source {
    Connection(MysqlConnection),
    PooledConnection(PooledConnection<ConnectionManager<MysqlConnection>>),
    Guard(MysqlConnection),
    Pool(Pool<ConnectionManager<MysqlConnection>>),
    LockPool(Locks),
}

impl Source {
    /// Gives the connection, before or after a call.
    pub(crate) fn with<R>(&mut self, work: impl FnOnce(&mut MysqlConnection) -> R) -> R {
        match self {
            Source::Connection(conn) | Source::Guard(conn) => work(conn),
            Source::PooledConnection(conn) => work(conn),
            Source::Pool(pool) => work(&mut pool.get().unwrap()),
            Source::LockPool(locks) => work(&mut locks.pool().get().unwrap()),
        }
    }
}

/// Methods under `#[locked]` that run a closure, for models by [`locked_methods!`].
pub(crate) trait LockedMethods:
    Lockable + Clone + for<'a> Reload<'a, MysqlConnection>
{
    fn method<S: LockSource<Connection = MysqlConnection>>(
        &mut self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError>;

    fn shared_method<S: LockSource<Connection = MysqlConnection>>(
        &self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError>;

    fn transaction_method<S: LockSource<Connection = MysqlConnection>>(
        &mut self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError>;

    fn shared_transaction_method<S: LockSource<Connection = MysqlConnection>>(
        &self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
    ) -> Result<(), LockError>;
}

macro_rules! locked_methods {
    ($($model:ty),+ $(,)?) => {$(
        // Of its own, since a method of a trait that borrows `self` cannot be locked.
        impl $model {
            #[locked(conn = source)]
            fn under_method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                body(self, source.connection())
            }

            #[locked(conn = source)]
            fn under_shared_method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                body(&mut self.clone(), source.connection())
            }

            #[locked(conn = source, transaction)]
            fn under_transaction_method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                body(self, source.connection())
            }

            #[locked(conn = source, transaction)]
            fn under_shared_transaction_method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                body(&mut self.clone(), source.connection())
            }
        }

        impl $crate::support::LockedMethods for $model {
            fn method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                self.under_method(source, body)
            }

            fn shared_method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                self.under_shared_method(source, body)
            }

            fn transaction_method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                self.under_transaction_method(source, body)
            }

            fn shared_transaction_method<S: diesel_advisory_lock::LockSource<Connection = MysqlConnection>>(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut MysqlConnection) -> Result<(), LockError>,
            ) -> Result<(), LockError> {
                self.under_shared_transaction_method(source, body)
            }
        }
    )+};
}

pub(crate) use locked_methods;

locked_methods!(super::Counter);
