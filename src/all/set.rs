//! [`LockSet`]: what may be locked at once.

use std::slice;

use crate::backend::LockConnection;
use crate::error::LockError;
use crate::hold::Hold;
use crate::in_use::InUse;
use crate::lockable::Lockable;
use crate::name::LockName;
use crate::reload::{self, Reload};

/// What [`lock_all`](crate::lock_all) and [`LockAll`](crate::LockAll) take, and what the closure gets back.
///
/// | | |
/// |---|---|
/// | `&mut model` | the row's lock; reloaded |
/// | `&mut models[..]` | the lock of each row; each reloaded |
/// | `LockName`, `&LockName` | that lock |
/// | tuples of up to 12 sets, arrays and `Vec`s of sets | all of theirs |
///
/// Sealed: the methods are the crate's own.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let load = |conn: &mut MysqlConnection| notifications::table.find(42).first(conn);
/// let (mut one, mut two): (Notification, Notification) = (load(&mut conn)?, load(&mut conn)?);
/// let report = LockName::named("report");
/// // A set of two models and a name; the closure gets the same three.
/// lock_all((&mut one, &mut two, &report), &mut conn, |(one, two, _), _| {
///     assert_eq!(one, two); // one row, loaded twice
///     Ok::<_, LockError>(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of locks",
    label = "not something to lock at once",
    note = "pass `&mut model`, `&mut models[..]`, a `LockName`, or a tuple, an array or a `Vec` of these, as in `(&mut from, &mut to)`; of `models: &mut Vec<_>` pass `models.as_mut_slice()`",
    note = "models must be `Identifiable`, `Queryable` and `Selectable`, since they are read again; `model.lock_name()` locks without that"
)]
pub trait LockSet<C> {
    /// What the closure gets.
    type Locked;

    #[doc(hidden)]
    fn names(&self, names: &mut Vec<LockName>);

    #[doc(hidden)]
    fn refresh(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>;

    #[doc(hidden)]
    fn into_locked(self) -> Self::Locked;
}

/// What reads the models of a set again. It goes from item to item, in the order of their names.
#[doc(hidden)]
pub struct Rows<'h, C> {
    conn: &'h mut C,
    holds: &'h [Hold],
    items: slice::Iter<'h, usize>,
    in_use: InUse,
}

impl<'h, C: LockConnection> Rows<'h, C> {
    pub(crate) fn new(conn: &'h mut C, holds: &'h [Hold], items: &'h [usize]) -> Self {
        Rows {
            conn,
            holds,
            items: items.iter(),
            in_use: InUse::default(),
        }
    }

    /// Replaces a copy that may be stale.
    fn refresh<T>(&mut self, model: &mut T) -> Result<(), LockError>
    where
        T: Lockable + for<'a> Reload<'a, C>,
    {
        match self.items.next().and_then(|&hold| self.holds.get(hold)) {
            Some(hold) => reload::into(hold, model, T::lock_name, self.conn, &mut self.in_use),
            None => Ok(()),
        }
    }

    pub(crate) fn into_in_use(self) -> InUse {
        self.in_use
    }
}

impl<C> Rows<'_, C> {
    fn skip(&mut self) {
        self.items.next();
    }
}

#[diagnostic::do_not_recommend]
impl<'m, T, C> LockSet<C> for &'m mut T
where
    T: Lockable + for<'a> Reload<'a, C>,
    C: LockConnection,
{
    type Locked = &'m mut T;

    fn names(&self, names: &mut Vec<LockName>) {
        names.push(self.lock_name());
    }

    fn refresh(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError> {
        rows.refresh(*self)
    }

    fn into_locked(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<'m, T, C> LockSet<C> for &'m mut [T]
where
    T: Lockable + for<'a> Reload<'a, C>,
    C: LockConnection,
{
    type Locked = &'m mut [T];

    fn names(&self, names: &mut Vec<LockName>) {
        names.extend(self.iter().map(T::lock_name));
    }

    fn refresh(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError> {
        self.iter_mut().try_for_each(|model| rows.refresh(model))
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<C> LockSet<C> for LockName {
    type Locked = LockName;

    fn names(&self, names: &mut Vec<LockName>) {
        names.push(self.clone());
    }

    fn refresh(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError> {
        rows.skip();
        Ok(())
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<'n, C> LockSet<C> for &'n LockName {
    type Locked = &'n LockName;

    fn names(&self, names: &mut Vec<LockName>) {
        names.push((*self).clone());
    }

    fn refresh(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError> {
        rows.skip();
        Ok(())
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<L: LockSet<C>, C> LockSet<C> for Vec<L> {
    type Locked = Vec<L::Locked>;

    fn names(&self, names: &mut Vec<LockName>) {
        self.iter().for_each(|set| set.names(names));
    }

    fn refresh(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError> {
        self.iter_mut().try_for_each(|set| set.refresh(rows))
    }

    fn into_locked(self) -> Self::Locked {
        self.into_iter().map(L::into_locked).collect()
    }
}

impl<L: LockSet<C>, C, const N: usize> LockSet<C> for [L; N] {
    type Locked = [L::Locked; N];

    fn names(&self, names: &mut Vec<LockName>) {
        self.iter().for_each(|set| set.names(names));
    }

    fn refresh(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError> {
        self.iter_mut().try_for_each(|set| set.refresh(rows))
    }

    fn into_locked(self) -> Self::Locked {
        self.map(L::into_locked)
    }
}

macro_rules! tuples {
    ($(($($L:ident $index:tt),+),)+) => {$(
        impl<$($L: LockSet<Conn>,)+ Conn> LockSet<Conn> for ($($L,)+) {
            type Locked = ($($L::Locked,)+);

            fn names(&self, names: &mut Vec<LockName>) {
                $(self.$index.names(names);)+
            }

            fn refresh(&mut self, rows: &mut Rows<'_, Conn>) -> Result<(), LockError> {
                $(self.$index.refresh(rows)?;)+
                Ok(())
            }

            fn into_locked(self) -> Self::Locked {
                ($(self.$index.into_locked(),)+)
            }
        }
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
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11),
}
