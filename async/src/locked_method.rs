//! The functions that `#[locked]` expands to: the steps of [`LockDsl::run`](crate::LockDsl::run)
//! around a body that keeps the declared types of `self` and of its connection.

use std::future::Future;

use diesel_advisory_lock::__core::{Guard, InUse, Transaction, begin, finish as end};
use diesel_advisory_lock::__private::MethodResult;
use diesel_advisory_lock::{Lock, LockError, LockName};

use crate::body;
use crate::connection::LockSource;
use crate::driver::Via;
use crate::guard::{self, LockGuard};
use crate::lockable::Lockable;
use crate::reload::{Reload, ReloadSet, Rows};

/// A lock that a method body runs under. If it is dropped, the session is ended.
pub struct Entered<'c, S: LockSource> {
    /// The model that the body works on, or its copy.
    in_use: InUse,
    guard: LockGuard<'c, S>,
    transaction: Transaction,
}

impl<S: LockSource> Entered<'_, S> {
    /// What the body is polled in.
    pub fn scope(&mut self) -> Scope {
        Scope(body::Scope::of(self.guard.parts().1))
    }

    /// The connection, with the type that the method declares.
    pub fn source(&mut self) -> &mut S {
        &mut self.guard
    }
}

/// What a body is polled in.
pub struct Scope(body::Scope);

impl Scope {
    /// Runs a body as a future, so that `return` and `?` end only the body.
    pub async fn call<O>(self, body: impl Future<Output = O>) -> O {
        self.0.run(body).await
    }
}

/// For `&mut self`: acquires the lock, begins a transaction if requested, and reloads the model.
///
/// # Errors
///
/// Any [`LockError`] that is returned before the body runs.
#[expect(clippy::manual_async_fn, reason = "callers see that it is `Send`")]
pub fn enter<'c, T, S>(
    lock: Lock<&mut T>,
    source: &'c mut S,
    in_transaction: bool,
) -> impl Future<Output = Result<Entered<'c, S>, LockError>> + Send
where
    T: Lockable + Reload<S::Connection>,
    S: LockSource,
{
    async move {
        let transaction = form(in_transaction);
        let (mut guard, mut set) = acquire(lock, source, transaction).await?;
        match guard::enter(&mut guard, &mut set, transaction).await {
            Ok(in_use) => Ok(Entered {
                in_use,
                guard,
                transaction,
            }),
            Err(error) => end(guard, Transaction::No, Err(error)).await,
        }
    }
}

/// For `&self`: like [`enter`], but loads the row into a copy. The copy is `None` if the model
/// itself is in use under this lock.
///
/// # Errors
///
/// Any [`LockError`] that is returned before the body runs.
#[expect(clippy::manual_async_fn, reason = "callers see that it is `Send`")]
pub fn enter_with_copy<'c, T, S>(
    lock: Lock<LockName>,
    model: &T,
    source: &'c mut S,
    in_transaction: bool,
) -> impl Future<Output = Result<(Entered<'c, S>, Option<Box<T>>), LockError>> + Send
where
    T: Lockable + Reload<S::Connection> + Sync,
    S: LockSource,
{
    async move {
        let transaction = form(in_transaction);
        let (mut guard, _) = acquire(lock, source, transaction).await?;
        match begin_with_copy(&mut guard, model, transaction).await {
            Ok((in_use, copy)) => {
                let entered = Entered {
                    in_use,
                    guard,
                    transaction,
                };
                Ok((entered, copy))
            }
            Err(error) => end(guard, Transaction::No, Err(error)).await,
        }
    }
}

fn form(in_transaction: bool) -> Transaction {
    match in_transaction {
        true => Transaction::Begin,
        false => Transaction::No,
    }
}

async fn begin_with_copy<T, S>(
    guard: &mut LockGuard<'_, S>,
    model: &T,
    transaction: Transaction,
) -> Result<(InUse, Option<Box<T>>), LockError>
where
    T: Lockable + Reload<S::Connection> + Sync,
    S: LockSource,
{
    begin(guard, transaction).await?;
    let (driver, locks) = guard.parts();
    let mut rows = Rows::new(driver, locks);
    let copy = rows.copy(model).await?;
    Ok((rows.into_in_use(), copy))
}

async fn acquire<'c, L, S>(
    lock: Lock<L>,
    source: &'c mut S,
    transaction: Transaction,
) -> Result<(LockGuard<'c, S>, L), LockError>
where
    L: ReloadSet<S::Connection>,
    S: LockSource,
{
    let mut driver = Via(source);
    let deadline = lock.deadline();
    let locks = lock
        .acquire_locks(&mut driver, &deadline, transaction)
        .await?;
    Ok((LockGuard::new(driver, locks), lock.into_set()))
}

/// Commits if a transaction was begun, and releases the lock. Returns the first error, if any.
pub async fn finish<S: LockSource, O: MethodResult>(
    entered: Result<(Entered<'_, S>, O), LockError>,
) -> O {
    let (entered, result) = match entered {
        Ok(entered) => entered,
        Err(error) => return O::from_result(Err(error.into())),
    };
    drop(entered.in_use);
    let result = result.into_result();
    O::from_result(end(entered.guard, entered.transaction, result).await)
}

/// What the first `return` of a body returns, which is not reached. It sets the body's type.
pub fn never<O>() -> O {
    unreachable!("behind `if false`")
}
