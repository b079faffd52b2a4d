//! What `#[locked]` expands to: the steps of [`ModelLock::run`](crate::ModelLock::run) around a body that
//! stays where it is, with `self` and its connection as they were declared. Not for use by hand.

use std::marker::PhantomData;

use crate::error::{FromLockError, LockError};
use crate::guard::Guard;
use crate::held::Held;
use crate::in_use::{Enclosing, InUse};
use crate::lockable::Lockable;
use crate::model_lock::ModelLock;
use crate::observe;
use crate::policy::{HasLockPolicy, LockPolicy};
use crate::reload::Reload;
use crate::request::LockRequest;
use crate::source::LockSource;

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
    message = "a `#[locked]` method returns a `Result`, for the lock may not be had",
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
        let (mut entered, result) = entered?;
        drop((entered.in_use, entered.enclosing));
        let value = result?;
        if entered.in_transaction {
            entered.held.commit()?;
        }
        entered.held.end()?;
        Ok(value)
    }
}

/// A lock that a method body runs under.
pub struct Entered<'c, S: LockSource> {
    /// The model that the body works on, or the copy of it.
    in_use: InUse,
    enclosing: Enclosing,
    held: Held<'c, S>,
    in_transaction: bool,
}

impl<'c, S: LockSource> Entered<'c, S> {
    fn new(mut held: Held<'c, S>, in_use: InUse, in_transaction: bool) -> Self {
        Entered {
            in_use,
            enclosing: held.enclosing(),
            held,
            in_transaction,
        }
    }

    /// Where the body runs.
    pub fn scope(&self) -> Scope {
        Scope(self.held.scope())
    }

    /// The connection as the method declares it.
    pub fn source(&mut self) -> &mut S {
        &mut self.held
    }
}

/// For `&mut self`: lock, BEGIN if asked, and read the row again into the model.
///
/// # Errors
///
/// Any [`LockError`] of the time before the body runs.
pub fn enter<'c, T, S>(
    lock: ModelLock<'_, T>,
    source: &'c mut S,
    in_transaction: bool,
) -> Result<Entered<'c, S>, LockError>
where
    T: for<'a> Reload<'a, S::Connection>,
    S: LockSource,
{
    let (model, name_of, request) = lock.into_parts();
    let mut held = begin(request, source, in_transaction)?;
    let (_, in_use) = held.reloaded(model, name_of)?;
    Ok(Entered::new(held, in_use, in_transaction))
}

/// For `&self`: the same, but the row is read into a copy. `None` if the model
/// itself is in use under this lock.
///
/// # Errors
///
/// Any [`LockError`] of the time before the body runs.
pub fn enter_with_copy<'c, T, S>(
    request: LockRequest,
    model: &T,
    source: &'c mut S,
    in_transaction: bool,
) -> Result<(Entered<'c, S>, Option<Box<T>>), LockError>
where
    T: Lockable + for<'a> Reload<'a, S::Connection>,
    S: LockSource,
{
    let mut held = begin(request, source, in_transaction)?;
    let (copy, in_use) = held.reloaded_copy(model, T::lock_name)?;
    Ok((Entered::new(held, in_use, in_transaction), copy))
}

fn begin<S: LockSource>(
    request: LockRequest,
    source: &mut S,
    in_transaction: bool,
) -> Result<Held<'_, S>, LockError> {
    let mut held = request.acquire_on(source)?;
    if in_transaction {
        held.begin()?;
    }
    Ok(held)
}

/// Within the lock's span, if there is one.
pub struct Scope(observe::Scope);

impl Scope {
    /// Runs a body, which may `return` and `?` in it.
    pub fn call<O>(self, body: impl FnOnce() -> O) -> O {
        self.0.run(body)
    }
}

/// COMMIT if a transaction was begun, and release; or hand on what went wrong.
pub fn finish<S: LockSource, O: MethodResult>(
    entered: Result<(Entered<'_, S>, O), LockError>,
) -> O {
    O::finish(entered)
}
