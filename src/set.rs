//! [`LockSet`]: what can be locked at once. [`ReloadSet`] reloads its models on a connection.

use crate::backend::LockDriver;
use crate::error::LockError;
use crate::held_locks::HeldLocks;
use crate::in_use::InUse;
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::reload::{self, Reload};

/// A set of locks: what [`lock_all`](crate::lock_all) takes, and what the closure gets.
///
/// | set | locks | the closure gets |
/// |---|---|---|
/// | `&mut model` | its row | the model, reloaded |
/// | `&mut models[..]` | each row | the models, reloaded |
/// | `LockName`, `&LockName` | the name | the name |
/// | a tuple of up to 12 sets, an array or a `Vec` of sets | all of them | a tuple, an array or a `Vec` |
///
/// It cannot be implemented outside of this crate.
///
/// ```
/// # include!("doctest_setup.rs");
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// # let load = |conn: &mut MysqlConnection| notifications::table.find(42).first(conn);
/// let (mut one, mut two): (Notification, Notification) = (load(&mut conn)?, load(&mut conn)?);
/// let report = LockName::named("report");
/// // A set of two models and a name; the closure gets the same three.
/// lock_all((&mut one, &mut two, &report)).run(&mut conn, |(one, two, _), _| {
///     assert_eq!(one, two); // one row, loaded twice
///     Ok::<_, LockError>(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of locks",
    label = "not a set of locks",
    note = "pass `&mut model`, `&mut models[..]`, a `LockName`, or a tuple, an array or a `Vec` \
            of these, such as `(&mut from, &mut to)`; for `models: &mut Vec<_>` pass `&mut \
            models[..]`"
)]
pub trait LockSet {
    /// What the closure gets.
    type Locked;

    #[doc(hidden)]
    fn names(&self, names: &mut OneOrMany<LockName>);

    #[doc(hidden)]
    fn into_locked(self) -> Self::Locked;
}

/// A [`LockSet`] whose models can be reloaded on a connection of the type `C`.
///
/// It cannot be implemented outside of this crate.
///
/// ```
/// use diesel::mysql::MysqlConnection;
/// use diesel_advisory_lock::ReloadSet;
/// use diesel_advisory_lock::prelude::*;
///
/// /// Runs a job under any lock or set of locks.
/// fn run_job<L>(lock: Lock<L>, conn: &mut MysqlConnection) -> Result<(), LockError>
/// where
///     L: ReloadSet<MysqlConnection>,
/// {
///     lock.run(conn, |_, _| Ok(()))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of locks whose models can be reloaded",
    label = "not a set of locks",
    note = "pass `&mut model`, `&mut models[..]`, a `LockName`, or a tuple, an array or a `Vec` \
            of these, such as `(&mut from, &mut to)`; for `models: &mut Vec<_>` pass `&mut \
            models[..]`"
)]
pub trait ReloadSet<C>: LockSet {
    #[doc(hidden)]
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockDriver;
}

/// Reloads the models of a set, in the order of its items.
#[doc(hidden)]
pub struct Rows<'h, C: LockDriver> {
    conn: &'h mut C,
    locks: &'h HeldLocks<C::Server>,
    next_item: usize,
    in_use: InUse,
}

impl<'h, C: LockDriver> Rows<'h, C> {
    pub(crate) fn new(conn: &'h mut C, locks: &'h HeldLocks<C::Server>) -> Self {
        Rows {
            conn,
            locks,
            next_item: 0,
            in_use: InUse::default(),
        }
    }

    /// Reloads the model of the next item.
    pub(crate) fn reload<T: Reload<C>>(
        &mut self,
        model: &mut T,
        name_of: fn(&T) -> LockName,
    ) -> Result<(), LockError> {
        let lock = self.locks.of_item(self.next_item);
        self.next_item += 1;
        reload::reload(lock, model, name_of, self.conn, &mut self.in_use)
    }

    fn skip(&mut self) {
        self.next_item += 1;
    }

    pub(crate) fn into_in_use(self) -> InUse {
        self.in_use
    }
}

impl LockSet for LockName {
    type Locked = LockName;

    fn names(&self, names: &mut OneOrMany<LockName>) {
        names.push(self.clone());
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<C> ReloadSet<C> for LockName {
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockDriver,
    {
        rows.skip();
        Ok(())
    }
}

impl<'n> LockSet for &'n LockName {
    type Locked = &'n LockName;

    fn names(&self, names: &mut OneOrMany<LockName>) {
        names.push((*self).clone());
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<C> ReloadSet<C> for &LockName {
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockDriver,
    {
        rows.skip();
        Ok(())
    }
}

impl<L: LockSet> LockSet for Vec<L> {
    type Locked = Vec<L::Locked>;

    fn names(&self, names: &mut OneOrMany<LockName>) {
        self.iter().for_each(|set| set.names(names));
    }

    fn into_locked(self) -> Self::Locked {
        self.into_iter().map(L::into_locked).collect()
    }
}

impl<L: ReloadSet<C>, C> ReloadSet<C> for Vec<L> {
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockDriver,
    {
        self.iter_mut().try_for_each(|set| set.reload(rows))
    }
}

impl<L: LockSet, const N: usize> LockSet for [L; N] {
    type Locked = [L::Locked; N];

    fn names(&self, names: &mut OneOrMany<LockName>) {
        self.iter().for_each(|set| set.names(names));
    }

    fn into_locked(self) -> Self::Locked {
        self.map(L::into_locked)
    }
}

impl<L: ReloadSet<C>, C, const N: usize> ReloadSet<C> for [L; N] {
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockDriver,
    {
        self.iter_mut().try_for_each(|set| set.reload(rows))
    }
}

macro_rules! tuples {
    ($(($($L:ident $index:tt),+),)+) => {$(
        impl<$($L: LockSet,)+> LockSet for ($($L,)+) {
            type Locked = ($($L::Locked,)+);

            fn names(&self, names: &mut OneOrMany<LockName>) {
                $(self.$index.names(names);)+
            }

            fn into_locked(self) -> Self::Locked {
                ($(self.$index.into_locked(),)+)
            }
        }

        impl<$($L: ReloadSet<Conn>,)+ Conn> ReloadSet<Conn> for ($($L,)+) {
            fn reload(&mut self, rows: &mut Rows<'_, Conn>) -> Result<(), LockError>
            where
                Conn: LockDriver,
            {
                $(self.$index.reload(rows)?;)+
                Ok(())
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
