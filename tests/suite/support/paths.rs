//! [`Path`]: every way to run a closure on a model under its lock, so that a case can test all of
//! them.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{FromLockError, LockSource};
use server_test::both;

use super::{Counter, Db, Hook, LockedMethods};
use crate::api::pool::{self, Events, Locks, PooledConnection};
use crate::api::{Body, Connection};
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
#[both]
macro_rules! call_form {
    ($form:expr, $model:ident, $body:ident, $call:ident) => {
        match $form {
            Form::Run => $call!(run, $model.lock(), async |it, conn| $body
                .run(it, conn)
                .await),
            Form::TryRun => free($call!(try_run, $model.lock(), async |it, conn| $body
                .run(it, conn)
                .await)),
            Form::Transaction => {
                $call!(transaction, $model.lock(), async |it, conn| $body
                    .run(it, conn)
                    .await)
            }
            Form::TryTransaction => {
                let lock = $model.lock();
                free($call!(try_transaction, lock, async |it, conn| $body
                    .run(it, conn)
                    .await))
            }
            form @ (Form::Acquire | Form::TryAcquire | Form::SetAcquire) => {
                let mut guard = match form {
                    Form::Acquire => $call!(acquire, $model.lock())?,
                    Form::TryAcquire => $call!(try_acquire, $model.lock())?.expect(FREE),
                    _ => $call!(acquire, set($model))?,
                };
                $body.run($model, guard.connection()).await?;
                Ok(guard.release().await?)
            }
            Form::Set => {
                $call!(run, set($model), async |(it, _), conn| $body
                    .run(it, conn)
                    .await)
            }
            Form::TrySet => free($call!(try_run, set($model), async |(it, _), conn| $body
                .run(it, conn)
                .await)),
            Form::SetTransaction => {
                $call!(transaction, set($model), async |(it, _), conn| $body
                    .run(it, conn)
                    .await)
            }
            Form::TrySetTransaction => {
                let lock = set($model);
                free($call!(try_transaction, lock, async |(it, _), conn| $body
                    .run(it, conn)
                    .await))
            }
            Form::Name => {
                let lock = $model.lock_name().lock();
                $call!(run, lock, async |_, conn| $body.run($model, conn).await)
            }
            Form::TryName => {
                let lock = $model.lock_name().lock();
                free($call!(try_run, lock, async |_, conn| $body
                    .run($model, conn)
                    .await))
            }
            Form::NameTransaction => {
                let lock = $model.lock_name().lock();
                $call!(transaction, lock, async |_, conn| $body
                    .run($model, conn)
                    .await)
            }
            Form::Method
            | Form::SharedMethod
            | Form::TransactionMethod
            | Form::SharedTransactionMethod => panic!("a method takes a connection"),
        }
    };
}

#[both]
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
    pub(crate) async fn run_on<T: LockedMethods>(
        self,
        conn: &mut impl LockSource<Connection = Conn>,
        model: &mut T,
        body: impl Body<T, LockError>,
    ) -> Result<(), LockError> {
        self.call_on(conn, model, body).await
    }

    async fn call_on<T: LockedMethods, E: FromLockError + Send>(
        self,
        conn: &mut impl LockSource<Connection = Conn>,
        model: &mut T,
        body: impl Body<T, E>,
    ) -> Result<(), E> {
        macro_rules! call {
            ($method:ident, $lock:expr $(, $body:expr)?) => {
                $lock.$method(conn $(, $body)?).await
            };
        }
        match self {
            Form::Run => {
                let body = async |it: &mut T, conn: &mut Conn| body.run(it, conn).await;
                model.with_lock(conn, body).await
            }
            Form::TryRun => {
                let body = async |it: &mut T, conn: &mut Conn| body.run(it, conn).await;
                free(model.try_with_lock(conn, body).await)
            }
            form if form.is_method() => model.locked_method(form, conn, body).await,
            form => call_form!(form, model, body, call),
        }
    }

    async fn call_through<T: LockedMethods, E: FromLockError + Send>(
        self,
        locks: &Locks,
        model: &mut T,
        body: impl Body<T, E>,
    ) -> Result<(), E> {
        macro_rules! call {
            ($method:ident, $lock:expr $(, $body:expr)?) => {
                locks.$method($lock $(, $body)?).await
            };
        }
        call_form!(self, model, body, call)
    }
}

const FREE: &str = "no other session holds the lock";

fn free<E>(tried: Result<Option<()>, E>) -> Result<(), E> {
    tried.map(|ran| ran.expect(FREE))
}

#[both]
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
    pub(crate) async fn client(self, db: &Db) -> Client {
        self.client_at(&db.url()).await
    }

    pub(crate) async fn client_at(self, url: &str) -> Client {
        self.prepared_client(url, |_| {}).await
    }

    /// Like [`client_at`](Self::client_at), with the hook on each connection.
    pub(crate) async fn hooked_client(self, url: &str, hook: &Hook) -> Client {
        let hook = hook.clone();
        self.prepared_client(url, move |conn| hook.watch(conn))
            .await
    }

    async fn prepared_client(
        self,
        url: &str,
        prepare: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> Client {
        let (source, events) = match self.via {
            Via::Connection | Via::Guard => {
                let mut conn = Conn::establish(url).await.unwrap();
                prepare(&mut conn);
                (Source::Connection(conn), Arc::default())
            }
            Via::PooledConnection | Via::LockPool => {
                let (pool, events) = Db::pool_at(url, 1, prepare).await;
                let source = match self.via {
                    Via::PooledConnection => {
                        Source::PooledConnection(pool::checked_out(&pool).await)
                    }
                    _ => Source::LockPool(Locks::new(pool)),
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
    pub(crate) async fn run_once<T: LockedMethods>(
        self,
        db: &Db,
        model: &mut T,
        body: impl Body<T, LockError>,
    ) -> Result<(), LockError> {
        self.client(db).await.run(model, body).await
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
    PooledConnection(PooledConnection),
    LockPool(Locks),
}

#[both]
impl Client {
    pub(crate) async fn run<T: LockedMethods>(
        &mut self,
        model: &mut T,
        body: impl Body<T, LockError>,
    ) -> Result<(), LockError> {
        self.call(model, body).await
    }

    /// Runs `body` on counter 1, with Diesel's errors.
    pub(crate) async fn run_on_counter(
        &mut self,
        body: impl Body<Counter, diesel::result::Error>,
    ) -> QueryResult<()> {
        self.call(&mut Counter { id: 1, value: 0 }, body).await
    }

    async fn call<T: LockedMethods, E: FromLockError + Send>(
        &mut self,
        model: &mut T,
        body: impl Body<T, E>,
    ) -> Result<(), E> {
        let Path { via, form } = self.path;
        match &mut self.source {
            Source::Connection(conn) if via == Via::Guard => {
                let mut held = LockName::named("outer").lock().acquire(conn).await?;
                let result = form.call_on(&mut held, model, body).await;
                // The error of the call goes first.
                match held.release().await {
                    Err(error) if result.is_ok() => Err(E::from(error)),
                    _ => result,
                }
            }
            Source::Connection(conn) => form.call_on(conn, model, body).await,
            Source::PooledConnection(conn) => form.call_on(conn, model, body).await,
            Source::LockPool(locks) => form.call_through(locks, model, body).await,
        }
    }

    /// Runs `work` on the connection, before or after a call.
    pub(crate) async fn with<R>(&mut self, work: impl AsyncFnOnce(&mut Conn) -> R) -> R {
        match &mut self.source {
            Source::Connection(conn) => work(conn).await,
            Source::PooledConnection(conn) => work(conn).await,
            Source::LockPool(locks) => work(&mut locks.pool().get().await.unwrap()).await,
        }
    }

    /// The session that the next call uses.
    pub(crate) async fn session_id(&mut self) -> i64 {
        self.with(server::session_id).await
    }

    /// What happened to the pool's connections, if there is a pool.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Asserts that the locks are free, although the client is connected, and that no request is
    /// queued.
    pub(crate) async fn assert_nothing_left(&self, db: &Db, what: &str) {
        db.wait_until_paths_are_free(what).await;
        if let Source::LockPool(locks) = &self.source {
            let state = locks.state();
            assert_eq!((state.names, state.waiting), (0, 0), "{what}");
        }
    }
}
