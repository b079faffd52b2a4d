//! The options of a call: [`LockPolicy`] has a model's defaults, `LockOptions` those of the call.

use std::time::Duration;

use crate::deadline::{Deadline, Wait};

/// Default timeout of a lock: 45 seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45);

/// Default timeout and keep-alive of a model's locks.
///
/// `#[derive(Lockable)]` makes one from options such as `#[lock(timeout = "5s")]`, and the model's
/// `.lock()` starts from it. A policy is never part of a lock's identity: two structs with the same
/// table and key share a lock, whatever their policies. The `try_` methods ignore the policy's
/// timeout: they wait only if the call itself sets one.
///
/// Generic code over [`Lockable`](crate::Lockable), and [`lock_all`](crate::lock_all), start from
/// the default policy, not from the type's. To use the type's policy there, pass the constant of
/// [`HasLockPolicy`] to `.policy(..)`.
///
/// ```
/// use std::time::Duration;
///
/// use diesel_advisory_lock::LockPolicy;
///
/// const IMPATIENT: LockPolicy = LockPolicy::new().timeout(Duration::from_secs(5));
/// # let _ = IMPATIENT;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a policy does nothing until it is passed to `.policy(..)`"]
pub struct LockPolicy {
    /// `None`: the default.
    wait: Option<Wait>,
    keep_alive: Option<Duration>,
}

impl LockPolicy {
    /// Makes the default policy: wait for [`DEFAULT_TIMEOUT`], or for the timeout of the `LockPool`,
    /// without a keep-alive.
    pub const fn new() -> Self {
        LockPolicy {
            wait: None,
            keep_alive: None,
        }
    }

    /// Waits for at most `timeout`, to the millisecond (rounded up).
    pub const fn timeout(self, timeout: Duration) -> Self {
        LockPolicy {
            wait: Some(Wait::For(timeout)),
            ..self
        }
    }

    /// Does not wait.
    pub const fn no_wait(self) -> Self {
        self.timeout(Duration::ZERO)
    }

    /// Waits until the lock is free.
    pub const fn wait_forever(self) -> Self {
        LockPolicy {
            wait: Some(Wait::Forever),
            ..self
        }
    }

    /// Keeps an idle session alive for that time; see
    /// [`Lock::keep_alive`](crate::Lock::keep_alive).
    pub const fn keep_alive(self, keep_alive: Duration) -> Self {
        LockPolicy {
            keep_alive: Some(keep_alive),
            ..self
        }
    }
}

/// The lock policy of a type, as a constant for generic code.
///
/// `#[derive(Lockable)]` implements it. The derive's `lock` and `with_lock` are methods of the
/// type, and start from its policy. Generic code calls the methods of [`Lockable`](crate::Lockable)
/// instead, which start from the default policy. Pass the constant to `.policy(..)` there:
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::{HasLockPolicy, LockSource, Reload};
///
/// fn with_policy<T, S, R>(
///     model: &mut T,
///     conn: &mut S,
///     body: impl FnOnce(&mut T, &mut S::Connection) -> QueryResult<R>,
/// ) -> QueryResult<R>
/// where
///     T: Lockable + HasLockPolicy + Reload<S::Connection>,
///     S: LockSource,
/// {
///     model.lock().policy(T::LOCK_POLICY).run(conn, body)
/// }
///
/// #[derive(Queryable, Selectable, Identifiable, Lockable)]
/// #[diesel(table_name = accounts)]
/// #[lock(timeout = "5s")]
/// struct Account {
///     id: i32,
///     balance: i64,
/// }
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// let mut from: Account = accounts::table.find(1).first(&mut conn)?;
/// let balance = with_policy(&mut from, &mut conn, |account, _| Ok(account.balance))?; // waits 5s
/// # assert_eq!(balance, 100);
///
/// // A set of locks has one policy, which is the default unless the call sets another:
/// let mut to: Account = accounts::table.find(2).first(&mut conn)?;
/// let sum = lock_all((&mut from, &mut to))
///     .policy(Account::LOCK_POLICY)
///     .run(&mut conn, |(from, to), _| QueryResult::Ok(from.balance + to.balance))?;
/// # assert_eq!(sum, 200);
/// # Ok(())
/// # }
/// ```
///
/// A type without the derive may implement the trait by hand. Generic code and
/// [`#[locked]`](macro@crate::locked) methods then use that policy, but `model.lock()` still starts
/// from the default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no lock policy",
    label = "no `LOCK_POLICY`",
    note = "add `#[derive(Lockable)]`; its policy is the default unless options such as \
            `#[lock(timeout = \"5s\")]` change it"
)]
pub trait HasLockPolicy {
    /// Timeout and keep-alive of this type's locks, if the call sets none.
    const LOCK_POLICY: LockPolicy;
}

impl Default for LockPolicy {
    fn default() -> Self {
        LockPolicy::new()
    }
}

/// The options of one call, which override its policy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LockOptions {
    policy: LockPolicy,
    wait: Option<Wait>,
    keep_alive: Option<Duration>,
}

impl LockOptions {
    pub(crate) fn set_policy(&mut self, policy: LockPolicy) {
        self.policy = policy;
    }

    pub(crate) fn set_wait(&mut self, wait: Wait) {
        self.wait = Some(wait);
    }

    pub(crate) fn set_keep_alive(&mut self, keep_alive: Duration) {
        self.keep_alive = Some(keep_alive);
    }

    /// The deadline of a call that waits by the policy, or for `default`.
    pub(crate) fn deadline(self, default: Duration) -> Deadline {
        let wait = self.wait.or(self.policy.wait);
        let wait = wait.unwrap_or(Wait::For(default));
        Deadline::new(wait, false, self.keep_alive())
    }

    /// The deadline of a `try_` method, which does not wait unless the call itself sets a timeout.
    pub(crate) fn try_deadline(self) -> Deadline {
        let wait = self.wait.unwrap_or(Wait::For(Duration::ZERO));
        Deadline::new(wait, true, self.keep_alive())
    }

    fn keep_alive(self) -> Option<Duration> {
        self.keep_alive.or(self.policy.keep_alive)
    }
}
