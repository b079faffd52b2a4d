//! [`Reload`]: reading a model's row anew.

use diesel::Connection;
use diesel::associations::{HasTable, Identifiable};
use diesel::helper_types::{AsSelect, Find, Select};
use diesel::query_builder::QueryId;
use diesel::query_dsl::methods::{FindDsl, LoadQuery, SelectDsl};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::{RunQueryDsl, Selectable, SelectableHelper};

use crate::backend::LockConnection;
use crate::error::LockError;
use crate::hold::{self, Hold};
use crate::in_use::{self, InUse};
use crate::name::LockName;
use crate::transaction;

/// A model that can be reloaded: `Identifiable`, `Queryable` and `Selectable`.
///
/// Never implemented by hand. The lifetime is that of the primary key, which the query borrows from
/// the model; asked for as `for<'a> Reload<'a, C>`.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::Reload;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
/// /// For any model that can be locked.
/// fn touch<T>(model: &mut T, conn: &mut MysqlConnection) -> Result<(), LockError>
/// where
///     T: Lockable + for<'a> Reload<'a, MysqlConnection>,
/// {
///     model.with_lock(conn, |_, _| Ok(()))
/// }
/// # touch(&mut notification, &mut conn)?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read again under its lock",
    label = "the model must derive `Queryable` and `Selectable`",
    note = "a lock that acts on a stale copy protects nothing, so `with_lock` re-reads the row: add `#[derive(Queryable, Selectable)]`, with `#[diesel(check_for_backend(diesel::mysql::Mysql))]` to see what does not fit",
    note = "to lock without re-reading: `model.lock_name().lock().hold(conn, |conn| ..)`"
)]
pub trait Reload<'a, C>: Sized {
    /// Reads the row with this model's primary key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::Reload;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let now = notification.reload(&mut conn)?;
    /// assert_eq!(now, notification);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound` if it does not exist any more; otherwise what the database answers.
    fn reload(&'a self, conn: &mut C) -> QueryResult<Self>;
}

#[diagnostic::do_not_recommend]
impl<'a, T, C> Reload<'a, C> for T
where
    C: Connection,
    T: HasTable + Selectable<C::Backend, SelectExpression: QueryId> + 'a,
    &'a T: Identifiable<Table = T::Table>,
    T::Table: FindDsl<<&'a T as Identifiable>::Id>,
    Find<T::Table, <&'a T as Identifiable>::Id>: SelectDsl<AsSelect<T, C::Backend>>,
    Select<Find<T::Table, <&'a T as Identifiable>::Id>, AsSelect<T, C::Backend>>:
        LoadQuery<'a, C, T>,
{
    fn reload(&'a self, conn: &mut C) -> QueryResult<Self> {
        let row = FindDsl::find(T::table(), self.id());
        SelectDsl::select(row, T::as_select()).get_result(conn)
    }
}

/// Reloads `model` under its lock, and says that it is in use. The one that a running closure was given under this very
/// lock keeps its changes; and is in use already.
pub(crate) fn into<T, C>(
    hold: &Hold,
    model: &mut T,
    name_of: fn(&T) -> LockName,
    conn: &mut C,
    in_use: &mut InUse,
) -> Result<(), LockError>
where
    T: for<'a> Reload<'a, C>,
    C: LockConnection,
{
    if is_worked_on(hold, model, conn) {
        return Ok(());
    }
    *model = row(hold, model, name_of, conn)?;
    in_use.add(model, conn, &hold.server_name);
    Ok(())
}

/// The row in a place of its own, where it is in use; `None` if the model itself is.
#[cfg(feature = "derive")]
pub(crate) fn copy<T, C>(
    hold: &Hold,
    model: &T,
    name_of: fn(&T) -> LockName,
    conn: &mut C,
) -> Result<(Option<Box<T>>, InUse), LockError>
where
    T: for<'a> Reload<'a, C>,
    C: LockConnection,
{
    let mut in_use = InUse::default();
    if is_worked_on(hold, model, conn) {
        return Ok((None, in_use));
    }
    let copy = Box::new(row(hold, model, name_of, conn)?);
    in_use.add(&*copy, conn, &hold.server_name);
    Ok((Some(copy), in_use))
}

fn is_worked_on<T, C>(hold: &Hold, model: &T, conn: &C) -> bool {
    hold.nested && in_use::contains(model, conn, &hold.server_name)
}

/// The row, if its own lock is the one that the model asked for.
fn row<T, C>(
    hold: &Hold,
    model: &T,
    name_of: fn(&T) -> LockName,
    conn: &mut C,
) -> Result<T, LockError>
where
    T: for<'a> Reload<'a, C>,
    C: LockConnection,
{
    let loaded = hold::guarded(conn, |conn| {
        model.reload(conn).map_err(|error| {
            if error != DieselError::NotFound && conn.may_have_run(&error) {
                // Diesel keeps the statement, and it must not run again. The session ends with its outermost lock.
                transaction::mark_broken(conn);
            }
            error
        })
    });
    match loaded {
        Ok(row) => {
            hold.observed.reread();
            let name = name_of(&row);
            if name != name_of(model) {
                return Err(LockError::KeyMismatch {
                    name: hold.name.clone(),
                    row: Box::new(name),
                });
            }
            Ok(row)
        }
        Err(DieselError::NotFound) => Err(LockError::Gone {
            name: hold.name.clone(),
        }),
        Err(source) => Err(LockError::before(&hold.name, source)),
    }
}
