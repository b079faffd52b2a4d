//! [`Reload`]: loads a model's row again under its lock. [`ReloadSet`] does so for each model of a
//! set.

use std::ops::Deref;

use diesel::associations::{HasTable, Identifiable};
use diesel::helper_types::{AsSelect, Find, Select};
use diesel::query_builder::QueryId;
use diesel::query_dsl::methods::{FindDsl, SelectDsl};
use diesel::result::QueryResult;
use diesel::{Selectable, SelectableHelper};
use diesel_advisory_lock::__core::{
    Armed, Driver, HeldLocks, InUse, LockDriver, RowLock, SessionLock, check, is_in_use,
};
use diesel_advisory_lock::{LockError, LockName, LockSet};
use diesel_async::methods::LoadQuery;
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::connection::{LockConnection, LockSource};
use crate::driver::Via;

/// A model whose row can be reloaded: `Identifiable`, `Queryable` and `Selectable`.
///
/// It is implemented for all such models that are `Send`. Generic code requires it beside
/// [`Lockable`](crate::Lockable).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be reloaded under its lock",
    label = "the model must derive `Queryable` and `Selectable`, and be `Send`",
    note = "locking a model reloads its row: add `#[derive(Queryable, Selectable)]`, and \
            `#[diesel(check_for_backend(diesel::mysql::Mysql))]` to see which field does not fit",
    note = "to lock without a reload, write `model.lock_name().lock().run(conn, async |_, conn| ..)`"
)]
pub trait Reload<C>: Sized + Send + 'static {
    /// Loads the row with this model's primary key, and returns it. The model is not changed.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such row, or the error of the query.
    fn reload<'a>(&'a self, conn: &'a mut C) -> BoxFuture<'a, QueryResult<Self>>;
}

#[diagnostic::do_not_recommend]
impl<T, C> Reload<C> for T
where
    C: AsyncConnection,
    T: HasTable + Selectable<C::Backend, SelectExpression: QueryId> + Send + 'static,
    for<'a> &'a T: Identifiable<Table = T::Table>,
    for<'a> T::Table: FindDsl<<&'a T as Identifiable>::Id>,
    for<'a> Find<T::Table, <&'a T as Identifiable>::Id>: SelectDsl<AsSelect<T, C::Backend>>,
    for<'a> Select<Find<T::Table, <&'a T as Identifiable>::Id>, AsSelect<T, C::Backend>>:
        LoadQuery<'a, C, T> + Send + 'a,
{
    fn reload<'a>(&'a self, conn: &'a mut C) -> BoxFuture<'a, QueryResult<Self>> {
        let row = FindDsl::find(T::table(), self.id());
        let row = SelectDsl::select(row, T::as_select());
        RunQueryDsl::get_result(row, conn).boxed()
    }
}

/// A [`LockSet`] whose models can be reloaded on a connection of the type `C`.
///
/// It cannot be implemented outside of this crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of locks whose models can be reloaded",
    label = "not a set of locks",
    note = "pass `&mut model`, `&mut models[..]`, a `LockName`, or a tuple, an array or a `Vec` \
            of these, such as `(&mut from, &mut to)`; for `models: &mut Vec<_>` pass `&mut \
            models[..]`"
)]
pub trait ReloadSet<C: LockConnection>: LockSet + Send {
    #[doc(hidden)]
    fn reload<'a, S>(
        &'a mut self,
        rows: &'a mut Rows<'_, S>,
    ) -> BoxFuture<'a, Result<(), LockError>>
    where
        S: LockSource<Connection = C>;
}

/// Reloads the models of a set, in the order of its items.
#[doc(hidden)]
pub struct Rows<'h, S: LockSource> {
    driver: &'h mut Via<S>,
    locks: &'h HeldLocks<<Via<S> as LockDriver>::Server>,
    next_item: usize,
    in_use: InUse,
}

impl<'h, S: LockSource> Rows<'h, S> {
    pub(crate) fn new(
        driver: &'h mut Via<S>,
        locks: &'h HeldLocks<<Via<S> as LockDriver>::Server>,
    ) -> Self {
        Rows {
            driver,
            locks,
            next_item: 0,
            in_use: InUse::default(),
        }
    }

    /// Reloads the model of the next item, unless a closure works on it under this lock.
    async fn reload<T: RowLock + Reload<S::Connection>>(
        &mut self,
        model: &mut T,
    ) -> Result<(), LockError> {
        let lock = self.locks.of_item(self.next_item);
        self.next_item += 1;
        if is_in_use(lock, model, self.driver) {
            return Ok(());
        }
        *model = load(lock, &mut *model, self.driver).await?;
        let connection = self.driver.address();
        self.in_use.add(model, connection, lock.key());
        Ok(())
    }

    /// Loads the row of the next item into a copy of its model. Returns no copy if a closure works
    /// on the model itself under this lock.
    #[cfg(feature = "derive")]
    pub(crate) async fn copy<T>(&mut self, model: &T) -> Result<Option<Box<T>>, LockError>
    where
        T: RowLock + Reload<S::Connection> + Sync,
    {
        let lock = self.locks.of_item(self.next_item);
        self.next_item += 1;
        if is_in_use(lock, model, self.driver) {
            return Ok(None);
        }
        let copy = Box::new(load(lock, model, self.driver).await?);
        let connection = self.driver.address();
        self.in_use.add(&*copy, connection, lock.key());
        Ok(Some(copy))
    }

    fn skip(&mut self) {
        self.next_item += 1;
    }

    pub(crate) fn into_in_use(self) -> InUse {
        self.in_use
    }
}

/// Loads the row of a model, and checks that its lock is the one that is held.
async fn load<M, S>(
    lock: &SessionLock<<Via<S> as LockDriver>::Server>,
    model: M,
    driver: &mut Via<S>,
) -> Result<M::Target, LockError>
where
    M: Deref<Target: RowLock + Reload<S::Connection>>,
    S: LockSource,
{
    let mut armed = Armed::new(driver);
    let loaded = Reload::reload(&*model, armed.conn().conn()).await;
    let name = model.name_of_row();
    let checked = check(lock, &name, loaded, M::Target::name_of_row, armed.conn()).await;
    armed.disarm();
    checked
}

macro_rules! reload_set {
    ([$($generics:tt)*] $set:ty, |$self:ident, $rows:ident| $reload:expr) => {
        impl<$($generics)*> ReloadSet<Conn> for $set {
            fn reload<'a, S>(
                &'a mut self,
                rows: &'a mut Rows<'_, S>,
            ) -> BoxFuture<'a, Result<(), LockError>>
            where
                S: LockSource<Connection = Conn>,
            {
                let ($self, $rows) = (self, rows);
                async move {
                    $reload;
                    Ok(())
                }
                .boxed()
            }
        }
    };
}

reload_set!([Conn: LockConnection] LockName, |_set, rows| rows.skip());
reload_set!([Conn: LockConnection] &LockName, |_set, rows| rows.skip());
reload_set!([T: RowLock + Reload<Conn>, Conn: LockConnection] &mut T, |set, rows| rows.reload(&mut **set).await?);
reload_set!([T: RowLock + Reload<Conn>, Conn: LockConnection] &mut [T], |set, rows| {
    for model in set.iter_mut() {
        rows.reload(model).await?;
    }
});
reload_set!([L: ReloadSet<Conn>, Conn: LockConnection] Vec<L>, |set, rows| {
    for item in set.iter_mut() {
        item.reload(rows).await?;
    }
});
reload_set!([L: ReloadSet<Conn>, Conn: LockConnection, const N: usize] [L; N], |set, rows| {
    for item in set.iter_mut() {
        item.reload(rows).await?;
    }
});

macro_rules! tuples {
    ($(($($L:ident $index:tt),+),)+) => {$(
        reload_set!([$($L: ReloadSet<Conn>,)+ Conn: LockConnection] ($($L,)+), |set, rows| {
            $(set.$index.reload(rows).await?;)+
        });
    )+};
}

tuples! {
    (A 0),
    (A 0, B 1),
    (A 0, B 1, C 2),
    (A 0, B 1, C 2, D 3),
    (A 0, B 1, C 2, D 3, E 4),
    (A 0, B 1, C 2, D 3, E 4, F 5),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, M 11),
}
