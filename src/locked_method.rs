//! What `#[locked]` expands to: the steps of [`LockDsl::run`](crate::LockDsl::run) around a body that
//! stays where it is, with `self` and its connection as they were declared. Not for use by hand.

use std::marker::PhantomData;

use crate::backend::LockSource;
use crate::error::{FromLockError, LockError};
use crate::guard::{self, Guard, LockGuard, Transaction};
use crate::in_use::{Enclosing, InUse};
use crate::lock::Lock;
use crate::lockable::Lockable;
use crate::name::LockName;
use crate::options::{HasLockPolicy, LockPolicy};
use crate::reload::{self, Reload};
use crate::set::LockSet;
use crate::telemetry;

/// The policy of `T`: the one of its [`HasLockPolicy`], or else the default of [`DefaultPolicy`].
pub struct PolicyOf<T: ?Sized>(PhantomData<T>);

impl<T: HasLockPolicy + ?Sized> PolicyOf<T> {
    /// Takes precedence over the constant of a trait.
    pub const LOCK_POLICY: LockPolicy = T::LOCK_POLICY;
}

/// The policy of a type that has none of its own.
pub trait DefaultPolicy {
    /// 45 seconds.
    const LOCK_POLICY: LockPolicy = LockPolicy::new();
}

impl<T: ?Sized> DefaultPolicy for PolicyOf<T> {}

/// What a method may return that runs under a lock.
#[diagnostic::on_unimplemented(
    message = "a `#[locked]` method returns a `Result`, since the lock may not be acquired",
    label = "not a `Result`",
    note = "write `-> Result<{Self}, E>` with an `E: From<LockError>`, such as `QueryResult<{Self}>`"
)]
pub trait MethodResult {
    #[doc(hidden)]
    fn finish(entered: Result<(Entered<'_, impl LockSource>, Self), LockError>) -> Self
    where
        Self: Sized;
}

impl<R, E: FromLockError> MethodResult for Result<R, E> {
    fn finish(entered: Result<(Entered<'_, impl LockSource>, Self), LockError>) -> Self {
        let (entered, result) = entered?;
        drop((entered.in_use, entered.enclosing));
        let value = result?;
        guard::finish(entered.guard, entered.transaction)?;
        Ok(value)
    }
}

/// A lock that a method body runs under.
pub struct Entered<'c, S: LockSource> {
    /// The model that the body works on, or the copy of it.
    in_use: InUse,
    enclosing: Enclosing,
    guard: LockGuard<'c, S>,
    transaction: Transaction,
}

impl<'c, S: LockSource> Entered<'c, S> {
    fn new(mut guard: LockGuard<'c, S>, in_use: InUse, transaction: Transaction) -> Self {
        Entered {
            in_use,
            enclosing: guard.enclosing(),
            guard,
            transaction,
        }
    }

    /// The span in which the body runs.
    pub fn scope(&mut self) -> Scope {
        Scope(self.guard.parts().1.scope())
    }

    /// The connection as the method declares it.
    pub fn source(&mut self) -> &mut S {
        &mut self.guard
    }
}

/// For `&mut self`: acquires the lock, begins a transaction if asked, and reloads the model.
///
/// # Errors
///
/// Any [`LockError`] of the time before the body runs.
pub fn enter<'c, T, S>(
    lock: Lock<&mut T>,
    source: &'c mut S,
    in_transaction: bool,
) -> Result<Entered<'c, S>, LockError>
where
    T: Lockable + Reload<S::Connection>,
    S: LockSource,
{
    let (mut guard, transaction) = begin(&lock, source, in_transaction)?;
    let in_use = guard::reload(&mut guard, &mut lock.into_set())?;
    Ok(Entered::new(guard, in_use, transaction))
}

/// For `&self`: the row is reloaded into a copy. `None` if the model itself is in use under this
/// lock.
///
/// # Errors
///
/// Any [`LockError`] of the time before the body runs.
pub fn enter_with_copy<'c, T, S>(
    lock: Lock<LockName>,
    model: &T,
    source: &'c mut S,
    in_transaction: bool,
) -> Result<(Entered<'c, S>, Option<Box<T>>), LockError>
where
    T: Lockable + Reload<S::Connection>,
    S: LockSource,
{
    let (mut guard, transaction) = begin(&lock, source, in_transaction)?;
    let (conn, locks) = guard.parts();
    let (copy, in_use) = reload::reload_copy(locks.of_item(0), model, T::lock_name, conn)?;
    Ok((Entered::new(guard, in_use, transaction), copy))
}

fn begin<'c, L: LockSet, S: LockSource>(
    lock: &Lock<L>,
    source: &'c mut S,
    in_transaction: bool,
) -> Result<(LockGuard<'c, S>, Transaction), LockError> {
    let transaction = match in_transaction {
        true => Transaction::Begin,
        false => Transaction::No,
    };
    let mut guard = lock.guard(source, &lock.deadline())?;
    guard::begin(&mut guard, transaction)?;
    Ok((guard, transaction))
}

/// The lock's span, if there is one.
pub struct Scope(telemetry::Scope);

impl Scope {
    /// Runs a body, in which `return` and `?` work.
    pub fn call<O>(self, body: impl FnOnce() -> O) -> O {
        self.0.run(body)
    }
}

/// Commits if a transaction was begun, and releases the lock; or passes on what went wrong.
pub fn finish<S: LockSource, O: MethodResult>(
    entered: Result<(Entered<'_, S>, O), LockError>,
) -> O {
    O::finish(entered)
}
