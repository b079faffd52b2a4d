//! [`Reload`]: loads a model's row again under its lock.

use diesel::Connection;
use diesel::associations::{HasTable, Identifiable};
use diesel::helper_types::{AsSelect, Find, Select};
use diesel::query_builder::QueryId;
use diesel::query_dsl::methods::{FindDsl, LoadQuery, SelectDsl};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::{RunQueryDsl, Selectable, SelectableHelper};

use crate::backend::{Backend, LockDriver};
use crate::driver::ready;
use crate::error::LockError;
use crate::in_use::{self, InUse};
use crate::name::LockName;
use crate::session_lock::{Armed, SessionLock};

/// A model whose row can be reloaded: `Identifiable`, `Queryable` and `Selectable`.
///
/// It is implemented for all such models. Generic code requires it beside
/// [`Lockable`](crate::Lockable):
///
/// ```
/// use diesel::mysql::MysqlConnection;
/// use diesel_advisory_lock::Reload;
/// use diesel_advisory_lock::prelude::*;
///
/// /// For any model that can be locked.
/// fn touch<T>(model: &mut T, conn: &mut MysqlConnection) -> Result<(), LockError>
/// where
///     T: Lockable + Reload<MysqlConnection>,
/// {
///     model.with_lock(conn, |_, _| Ok(()))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be reloaded under its lock",
    label = "the model must derive `Queryable` and `Selectable`",
    note = "locking a model reloads its row: add `#[derive(Queryable, Selectable)]`, and \
            `#[diesel(check_for_backend(diesel::mysql::Mysql))]` to see which field does not fit",
    note = "to lock without a reload, write `model.lock_name().lock().run(conn, |_, conn| ..)`"
)]
pub trait Reload<C>: Sized + 'static {
    /// Loads the row with this model's primary key, and returns it. The model is not changed.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such row, or the error of the query.
    fn reload(&self, conn: &mut C) -> QueryResult<Self>;
}

#[diagnostic::do_not_recommend]
impl<T, C> Reload<C> for T
where
    C: Connection,
    T: HasTable + Selectable<C::Backend, SelectExpression: QueryId> + 'static,
    for<'a> &'a T: Identifiable<Table = T::Table>,
    for<'a> T::Table: FindDsl<<&'a T as Identifiable>::Id>,
    for<'a> Find<T::Table, <&'a T as Identifiable>::Id>: SelectDsl<AsSelect<T, C::Backend>>,
    for<'a> Select<Find<T::Table, <&'a T as Identifiable>::Id>, AsSelect<T, C::Backend>>:
        LoadQuery<'a, C, T>,
{
    fn reload(&self, conn: &mut C) -> QueryResult<Self> {
        let row = FindDsl::find(T::table(), self.id());
        SelectDsl::select(row, T::as_select()).get_result(conn)
    }
}

/// Reloads `model` under its lock, and records that it is in use. A model that a running closure
/// was given under this very lock is in use already, and keeps its changes.
pub(crate) fn reload<T, C>(
    lock: &SessionLock<C::Server>,
    model: &mut T,
    name_of: fn(&T) -> LockName,
    conn: &mut C,
    in_use: &mut InUse,
) -> Result<(), LockError>
where
    T: Reload<C>,
    C: LockDriver,
{
    if is_in_use(lock, model, conn) {
        return Ok(());
    }
    *model = load(lock, model, name_of, conn)?;
    in_use.add(model, conn.address(), lock.key.as_ref());
    Ok(())
}

/// Loads the row of `model` into a copy, which is then in use. Returns no copy if the model itself
/// is in use.
#[cfg(feature = "derive")]
pub(crate) fn reload_copy<T, C>(
    lock: &SessionLock<C::Server>,
    model: &T,
    name_of: fn(&T) -> LockName,
    conn: &mut C,
) -> Result<(Option<Box<T>>, InUse), LockError>
where
    T: Reload<C>,
    C: LockDriver,
{
    let mut in_use = InUse::default();
    if is_in_use(lock, model, conn) {
        return Ok((None, in_use));
    }
    let copy = Box::new(load(lock, model, name_of, conn)?);
    in_use.add(&*copy, conn.address(), lock.key.as_ref());
    Ok((Some(copy), in_use))
}

/// Whether a running closure was given the model under this lock, so that it is not reloaded.
pub fn is_in_use<T, D: LockDriver>(
    lock: &SessionLock<D::Server>,
    model: &T,
    driver: &mut D,
) -> bool {
    lock.reentrant && in_use::contains(model, driver.address(), lock.key.as_ref())
}

fn load<T, C>(
    lock: &SessionLock<C::Server>,
    model: &T,
    name_of: fn(&T) -> LockName,
    conn: &mut C,
) -> Result<T, LockError>
where
    T: Reload<C>,
    C: LockDriver,
{
    let mut armed = Armed::new(conn);
    let loaded = model.reload(armed.conn());
    let checked = ready(check(lock, &name_of(model), loaded, name_of, armed.conn()));
    armed.disarm();
    checked
}

/// Returns the row, if its own lock is the requested one.
///
/// # Errors
///
/// [`LockError::RowNotFound`], [`LockError::KeyMismatch`], or [`LockError::Database`].
pub async fn check<T, D: LockDriver>(
    lock: &SessionLock<D::Server>,
    requested: &LockName,
    loaded: QueryResult<T>,
    name_of: fn(&T) -> LockName,
    driver: &mut D,
) -> Result<T, LockError> {
    match loaded {
        Ok(row) => {
            lock.telemetry.reloaded();
            let name = name_of(&row);
            if name != *requested {
                return Err(LockError::KeyMismatch {
                    name: lock.name.clone(),
                    row: Box::new(name),
                });
            }
            Ok(row)
        }
        Err(DieselError::NotFound) => Err(LockError::RowNotFound {
            name: lock.name.clone(),
        }),
        Err(source) => {
            if D::Server::must_not_run_again(driver, &source).await {
                // The session ends with its outermost lock.
                D::Server::discard(driver).await;
            }
            Err(LockError::before(&lock.name, source))
        }
    }
}
