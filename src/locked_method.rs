//! The functions that `#[locked]` expands to: the steps of [`LockDsl::run`](crate::LockDsl::run)
//! around a body that keeps the declared types of `self` and of its connection.

use std::marker::PhantomData;

use crate::backend::LockSource;
use crate::driver::ready;
use crate::error::{FromLockError, LockError};
use crate::guard::{self, BlockingGuard, Guard, LockGuard, Transaction};
use crate::in_use::{Enclosing, InUse};
use crate::lock::Lock;
use crate::lockable::Lockable;
use crate::name::LockName;
use crate::options::{HasLockPolicy, LockPolicy};
use crate::reload::{self, Reload};
use crate::set::LockSet;
use crate::telemetry;

/// The policy of `T`: that of [`HasLockPolicy`] if `T` implements it, else that of
/// [`DefaultPolicy`].
pub struct PolicyOf<T: ?Sized>(PhantomData<T>);

impl<T: HasLockPolicy + ?Sized> PolicyOf<T> {
    /// An inherent constant takes precedence over that of a trait.
    pub const LOCK_POLICY: LockPolicy = T::LOCK_POLICY;
}

/// The policy of a type without [`HasLockPolicy`].
pub trait DefaultPolicy {
    /// 45 seconds.
    const LOCK_POLICY: LockPolicy = LockPolicy::new();
}

impl<T: ?Sized> DefaultPolicy for PolicyOf<T> {}

/// The return types of a method that runs under a lock.
#[diagnostic::on_unimplemented(
    message = "a `#[locked]` method must return a `Result`, since acquiring the lock may fail",
    label = "not a `Result`",
    note = "write `-> QueryResult<{Self}>`, or `-> Result<{Self}, E>` with an `E: From<LockError>`"
)]
pub trait MethodResult: Sized {
    /// The value of the `Result`.
    type Value;

    /// The error of the `Result`.
    type Error: FromLockError;

    /// Converts it to the `Result` that it is.
    #[expect(clippy::missing_errors_doc, reason = "it is the method's result")]
    fn into_result(self) -> Result<Self::Value, Self::Error>;

    /// Converts it back.
    fn from_result(result: Result<Self::Value, Self::Error>) -> Self;
}

impl<R, E: FromLockError> MethodResult for Result<R, E> {
    type Value = R;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }

    fn from_result(result: Self) -> Self {
        result
    }
}

/// A lock that a method body runs under.
pub struct Entered<'c, S: LockSource> {
    /// The model that the body works on, or its copy.
    in_use: InUse,
    enclosing: Enclosing,
    guard: LockGuard<'c, S>,
    transaction: Transaction,
}

impl<'c, S: LockSource> Entered<'c, S> {
    fn new(mut guard: LockGuard<'c, S>, in_use: InUse, transaction: Transaction) -> Self {
        Entered {
            in_use,
            enclosing: guard.enter_closure(),
            guard,
            transaction,
        }
    }

    /// The span in which the body runs.
    pub fn scope(&mut self) -> Scope {
        Scope(self.guard.parts().1.span())
    }

    /// The connection, with the type that the method declares.
    pub fn source(&mut self) -> &mut S {
        &mut self.guard
    }
}

/// For `&mut self`: acquires the lock, begins a transaction if requested, and reloads the model.
///
/// # Errors
///
/// Any [`LockError`] that is returned before the body runs.
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

/// For `&self`: like [`enter`], but loads the row into a copy. The copy is `None` if the model
/// itself is in use under this lock.
///
/// # Errors
///
/// Any [`LockError`] that is returned before the body runs.
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
    let deadline = lock.deadline();
    let locks = ready(lock.acquire_locks(source.connection(), &deadline, transaction))?;
    let mut guard = LockGuard::new(source, locks);
    ready(guard::begin(&mut guard, transaction))?;
    Ok((guard, transaction))
}

/// The span that the body runs in.
pub struct Scope(telemetry::Scope);

impl Scope {
    /// Runs a body as a closure, so that `return` and `?` end only the body.
    pub fn call<O>(self, body: impl FnOnce() -> O) -> O {
        self.0.run(body)
    }
}

/// Commits if a transaction was begun, and releases the lock. Returns the first error, if any.
pub fn finish<S: LockSource, O: MethodResult>(
    entered: Result<(Entered<'_, S>, O), LockError>,
) -> O {
    let (entered, result) = match entered {
        Ok(entered) => entered,
        Err(error) => return O::from_result(Err(error.into())),
    };
    drop((entered.in_use, entered.enclosing));
    let result = result.into_result();
    let finished = guard::finish(entered.guard, entered.transaction, result);
    O::from_result(ready(finished))
}
