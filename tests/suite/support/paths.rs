//! [`Path`]: every way to run a closure on a model under its lock, so that a case can test all of
//! them.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{LockSource, Reload};

use super::{Counter, Db, Events, Hook, Locks};
use crate::server::{self, Conn};

/// Where the connection comes from, and the form of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) via: Via,
    pub(crate) form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Connection,
    PooledConnection,
    /// The guard of another lock.
    Guard,
    LockPool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Run,
    TryRun,
    Transaction,
    TryTransaction,
    Acquire,
    TryAcquire,
    /// A set of the model and [`second_lock`].
    Set,
    TrySet,
    SetTransaction,
    TrySetTransaction,
    SetAcquire,
    /// The name of the row's lock, without the model.
    Name,
    TryName,
    NameTransaction,
    /// `#[locked]`, which is shared if it takes `&self`.
    Method,
    SharedMethod,
    TransactionMethod,
    SharedTransactionMethod,
}

/// The lock beside the model in a set.
pub(crate) fn second_lock() -> LockName {
    LockName::named("job")
}

fn set<T>(model: &mut T) -> Lock<(&mut T, LockName)> {
    lock_all((model, second_lock()))
}

/// Makes the call of a form. `$call!(method, lock, closure)` calls a finishing method on a
/// connection or through a lock pool.
macro_rules! call_form {
    ($form:expr, $model:ident, $body:ident, $call:ident) => {
        match $form {
            Form::Run => $call!(run, $model.lock(), $body),
            Form::TryRun => free($call!(try_run, $model.lock(), $body)),
            Form::Transaction => $call!(transaction, $model.lock(), $body),
            Form::TryTransaction => free($call!(try_transaction, $model.lock(), $body)),
            form @ (Form::Acquire | Form::TryAcquire | Form::SetAcquire) => {
                let mut guard = match form {
                    Form::Acquire => $call!(acquire, $model.lock())?,
                    Form::TryAcquire => $call!(try_acquire, $model.lock())?.expect(FREE),
                    _ => $call!(acquire, set($model))?,
                };
                $body($model, &mut guard)?;
                Ok(guard.release()?)
            }
            Form::Set => $call!(run, set($model), |(it, _), conn| $body(it, conn)),
            Form::TrySet => free($call!(try_run, set($model), |(it, _), conn| $body(
                it, conn
            ))),
            Form::SetTransaction => {
                $call!(transaction, set($model), |(it, _), conn| $body(it, conn))
            }
            Form::TrySetTransaction => {
                free($call!(try_transaction, set($model), |(it, _), conn| $body(
                    it, conn
                )))
            }
            Form::Name => {
                let lock = $model.lock_name().lock();
                $call!(run, lock, |_, conn| $body($model, conn))
            }
            Form::TryName => {
                let lock = $model.lock_name().lock();
                free($call!(try_run, lock, |_, conn| $body($model, conn)))
            }
            Form::NameTransaction => {
                let lock = $model.lock_name().lock();
                $call!(transaction, lock, |_, conn| $body($model, conn))
            }
            Form::Method
            | Form::SharedMethod
            | Form::TransactionMethod
            | Form::SharedTransactionMethod => panic!("a method takes a connection"),
        }
    };
}

impl Form {
    pub(crate) const ALL: [Form; 18] = [
        Form::Run,
        Form::TryRun,
        Form::Transaction,
        Form::TryTransaction,
        Form::Acquire,
        Form::TryAcquire,
        Form::Set,
        Form::TrySet,
        Form::SetTransaction,
        Form::TrySetTransaction,
        Form::SetAcquire,
        Form::Name,
        Form::TryName,
        Form::NameTransaction,
        Form::Method,
        Form::SharedMethod,
        Form::TransactionMethod,
        Form::SharedTransactionMethod,
    ];

    /// Whether the call begins and commits a transaction.
    pub(crate) fn is_transaction(self) -> bool {
        matches!(
            self,
            Form::Transaction
                | Form::TryTransaction
                | Form::SetTransaction
                | Form::TrySetTransaction
                | Form::NameTransaction
                | Form::TransactionMethod
                | Form::SharedTransactionMethod
        )
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(
            self,
            Form::Set
                | Form::TrySet
                | Form::SetTransaction
                | Form::TrySetTransaction
                | Form::SetAcquire
        )
    }

    pub(crate) fn is_guard(self) -> bool {
        matches!(self, Form::Acquire | Form::TryAcquire | Form::SetAcquire)
    }

    /// Whether the call reloads the model.
    pub(crate) fn reloads(self) -> bool {
        !matches!(self, Form::Name | Form::TryName | Form::NameTransaction)
    }

    /// Whether the closure receives the caller's model, and no copy.
    pub(crate) fn gives_the_model(self) -> bool {
        self.reloads() && !self.is_guard() && !self.is_shared()
    }

    fn is_method(self) -> bool {
        matches!(self, Form::Method | Form::TransactionMethod) || self.is_shared()
    }

    fn is_shared(self) -> bool {
        matches!(self, Form::SharedMethod | Form::SharedTransactionMethod)
    }

    /// Runs `body` on a connection.
    pub(crate) fn run_on<T: LockedMethods>(
        self,
        conn: &mut impl LockSource<Connection = Conn>,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut Conn) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        self.call_on(conn, model, body)
    }

    fn call_on<T: LockedMethods, E: From<LockError>>(
        self,
        conn: &mut impl LockSource<Connection = Conn>,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut Conn) -> Result<(), E>,
    ) -> Result<(), E> {
        macro_rules! call {
            ($method:ident, $lock:expr $(, $body:expr)?) => { $lock.$method(conn $(, $body)?) };
        }
        match self {
            Form::Run => model.with_lock(conn, body),
            Form::TryRun => free(model.try_with_lock(conn, body)),
            form if form.is_method() => model.locked_method(form, conn, body),
            form => call_form!(form, model, body, call),
        }
    }

    fn call_through<T: LockedMethods, E: From<LockError>>(
        self,
        locks: &Locks,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut Conn) -> Result<(), E>,
    ) -> Result<(), E> {
        macro_rules! call {
            ($method:ident, $lock:expr $(, $body:expr)?) => { locks.$method($lock $(, $body)?) };
        }
        call_form!(self, model, body, call)
    }
}

const FREE: &str = "no other session holds the lock";

fn free<E>(tried: Result<Option<()>, E>) -> Result<(), E> {
    tried.map(|ran| ran.expect(FREE))
}

impl Path {
    pub(crate) fn all() -> impl Iterator<Item = Path> {
        let vias = [
            Via::Connection,
            Via::PooledConnection,
            Via::Guard,
            Via::LockPool,
        ];
        Self::of(vias, Form::ALL)
    }

    /// The paths that use the connection differently: without the `try` forms, and without
    /// connections that the caller has checked out or borrowed from a guard.
    pub(crate) fn essential() -> impl Iterator<Item = Path> {
        let forms = [
            Form::Run,
            Form::Set,
            Form::Method,
            Form::Acquire,
            Form::Transaction,
            Form::SetTransaction,
            Form::TransactionMethod,
        ];
        Self::of([Via::Connection, Via::LockPool], forms)
    }

    fn of<const V: usize, const F: usize>(
        vias: [Via; V],
        forms: [Form; F],
    ) -> impl Iterator<Item = Path> {
        vias.into_iter()
            .flat_map(move |via| forms.map(|form| Path { via, form }))
            .filter(|path| !(path.form.is_method() && path.is_from_pool()))
    }

    /// The essential paths without a transaction.
    pub(crate) fn essential_runs() -> impl Iterator<Item = Path> {
        Self::essential().filter(|path| !path.form.is_transaction())
    }

    /// The essential paths with a transaction.
    pub(crate) fn essential_transactions() -> impl Iterator<Item = Path> {
        Self::essential().filter(|path| path.form.is_transaction())
    }

    /// Whether the call checks out the connection.
    pub(crate) fn is_from_pool(self) -> bool {
        self.via == Via::LockPool
    }

    /// A client with a new connection, or with a new pool of one connection.
    pub(crate) fn client(self, db: &Db) -> Client {
        self.client_at(&db.url())
    }

    pub(crate) fn client_at(self, url: &str) -> Client {
        self.prepared_client(url, |_| {})
    }

    /// Like [`client_at`](Self::client_at), with the hook on each connection.
    pub(crate) fn hooked_client(self, url: &str, hook: &Hook) -> Client {
        let hook = hook.clone();
        self.prepared_client(url, move |conn| hook.watch(conn))
    }

    fn prepared_client(
        self,
        url: &str,
        prepare: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> Client {
        let (source, events) = match self.via {
            Via::Connection | Via::Guard => {
                let mut conn = Conn::establish(url).unwrap();
                prepare(&mut conn);
                (Source::Connection(conn), Arc::default())
            }
            Via::PooledConnection | Via::LockPool => {
                let (pool, events) = Db::pool_at(url, 1, prepare);
                let source = match self.via {
                    Via::PooledConnection => Source::PooledConnection(pool.get().unwrap()),
                    _ => Source::LockPool(LockPool::new(pool)),
                };
                (source, events)
            }
        };
        Client {
            path: self,
            source,
            events,
        }
    }

    /// Runs `body` on a new connection, or from a new pool.
    pub(crate) fn run_once<T: LockedMethods>(
        self,
        db: &Db,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut Conn) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        self.client(db).run(model, body)
    }
}

/// Makes the calls of a [`Path`], on one connection or from a pool of one.
pub(crate) struct Client {
    path: Path,
    source: Source,
    events: Arc<Events>,
}

enum Source {
    Connection(Conn),
    PooledConnection(PooledConnection<ConnectionManager<Conn>>),
    LockPool(Locks),
}

impl Client {
    pub(crate) fn run<T: LockedMethods>(
        &mut self,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut Conn) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        self.call(model, body)
    }

    /// Runs `body` on counter 1, with Diesel's errors.
    pub(crate) fn run_on_counter(
        &mut self,
        body: impl FnOnce(&mut Counter, &mut Conn) -> QueryResult<()>,
    ) -> QueryResult<()> {
        self.call(&mut Counter { id: 1, value: 0 }, body)
    }

    fn call<T: LockedMethods, E: From<LockError>>(
        &mut self,
        model: &mut T,
        body: impl FnOnce(&mut T, &mut Conn) -> Result<(), E>,
    ) -> Result<(), E> {
        let Path { via, form } = self.path;
        match &mut self.source {
            Source::Connection(conn) if via == Via::Guard => {
                let mut held = LockName::named("outer").lock().acquire(conn)?;
                form.call_on(&mut held, model, body)
            }
            Source::Connection(conn) => form.call_on(conn, model, body),
            Source::PooledConnection(conn) => form.call_on(conn, model, body),
            Source::LockPool(locks) => form.call_through(locks, model, body),
        }
    }

    /// Runs `work` on the connection, before or after a call.
    pub(crate) fn with<R>(&mut self, work: impl FnOnce(&mut Conn) -> R) -> R {
        match &mut self.source {
            Source::Connection(conn) => work(conn),
            Source::PooledConnection(conn) => work(conn),
            Source::LockPool(locks) => work(&mut locks.pool().get().unwrap()),
        }
    }

    /// The session that the next call uses.
    pub(crate) fn session_id(&mut self) -> i64 {
        self.with(server::session_id)
    }

    /// What happened to the pool's connections, if there is a pool.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Asserts that the locks are free, although the client is connected, and that no request is
    /// queued.
    pub(crate) fn assert_nothing_left(&self, db: &Db, what: &str) {
        db.wait_until_paths_are_free(what);
        if let Source::LockPool(locks) = &self.source {
            let state = locks.state();
            assert_eq!((state.names, state.waiting), (0, 0), "{what}");
        }
    }
}

/// Methods with `#[locked]` that run a closure. [`locked_methods!`] implements it for models.
pub(crate) trait LockedMethods: Lockable + Clone + Reload<Conn> {
    /// Calls the method of that form.
    fn locked_method<S: LockSource<Connection = Conn>, E: From<LockError>>(
        &mut self,
        form: Form,
        source: &mut S,
        body: impl FnOnce(&mut Self, &mut Conn) -> Result<(), E>,
    ) -> Result<(), E>;
}

macro_rules! locked_methods {
    ($($model:ty),+ $(,)?) => {$(
        // Inherent, since a method of a trait that borrows `self` cannot be locked.
        impl $model {
            #[locked(conn = source)]
            fn under_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(self, source.connection())
            }

            #[locked(conn = source)]
            fn under_shared_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(&mut self.clone(), source.connection())
            }

            #[locked(conn = source, transaction)]
            fn under_transaction_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(self, source.connection())
            }

            #[locked(conn = source, transaction)]
            fn under_shared_transaction_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(&mut self.clone(), source.connection())
            }
        }

        impl $crate::suite::support::LockedMethods for $model {
            fn locked_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &mut self,
                form: $crate::suite::support::Form,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                use $crate::suite::support::Form;
                match form {
                    Form::Method => self.under_method(source, body),
                    Form::SharedMethod => self.under_shared_method(source, body),
                    Form::TransactionMethod => self.under_transaction_method(source, body),
                    Form::SharedTransactionMethod => {
                        self.under_shared_transaction_method(source, body)
                    }
                    other => panic!("{other:?} is not a method"),
                }
            }
        }
    )+};
}

pub(crate) use locked_methods;

locked_methods!(Counter);
