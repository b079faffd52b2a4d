//! [`LockPolicy`]: how long requests wait and hold that do not say so themselves;
//! [`HasLockPolicy`]: a type's own policy, for generic code.

use std::time::Duration;

use crate::attempt::Attempt;
use crate::backend::Wait;

/// How long a request waits unless it is told: 45 seconds.
///
/// ```
/// use diesel_advisory_lock::{DEFAULT_TIMEOUT, LockPolicy};
///
/// let twice = LockPolicy::new().timeout(2 * DEFAULT_TIMEOUT);
/// # assert_ne!(twice, LockPolicy::new());
/// ```
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45);

/// How long the requests of a model wait and hold that do not say so themselves.
///
/// `#[derive(Lockable)]` makes one of `#[lock(timeout = "5s")]` and the like, and starts the
/// model's requests with it. A policy is never part of a lock's identity: two structs that take one
/// lock take it whatever their policies. The `try_` forms do not wait by a policy, only if the
/// request itself has a timeout.
///
/// Generic code over [`Lockable`](crate::Lockable), [`lock_all`](crate::lock_all) and
/// [`LockAll`](crate::LockAll) start from the default policy, not from the type's. The type's policy
/// is the constant of [`HasLockPolicy`]: pass it to `.policy(..)`.
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
#[must_use = "a policy does nothing until a request is given it with `.policy(..)`"]
pub struct LockPolicy {
    wait: Wait,
    longest_hold: Option<Duration>,
}

impl LockPolicy {
    /// Waits for [`DEFAULT_TIMEOUT`].
    ///
    /// ```
    /// use diesel_advisory_lock::{DEFAULT_TIMEOUT, LockPolicy};
    ///
    /// assert_eq!(LockPolicy::new(), LockPolicy::new().timeout(DEFAULT_TIMEOUT));
    /// ```
    pub const fn new() -> Self {
        LockPolicy {
            wait: Wait::For(DEFAULT_TIMEOUT),
            longest_hold: None,
        }
    }

    /// Waits for at most `timeout`, to the millisecond (rounded up).
    ///
    /// ```
    /// use std::time::Duration;
    /// use diesel_advisory_lock::LockPolicy;
    ///
    /// const IMPATIENT: LockPolicy = LockPolicy::new().timeout(Duration::from_millis(500));
    /// # let _ = IMPATIENT;
    /// ```
    pub const fn timeout(self, timeout: Duration) -> Self {
        LockPolicy {
            wait: Wait::For(timeout),
            ..self
        }
    }

    /// Does not wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use diesel_advisory_lock::LockPolicy;
    ///
    /// assert_eq!(LockPolicy::new().no_wait(), LockPolicy::new().timeout(Duration::ZERO));
    /// ```
    pub const fn no_wait(self) -> Self {
        self.timeout(Duration::ZERO)
    }

    /// Waits until the lock is free.
    ///
    /// ```
    /// use diesel_advisory_lock::LockPolicy;
    ///
    /// const PATIENT: LockPolicy = LockPolicy::new().wait_forever();
    /// # assert_ne!(PATIENT, LockPolicy::new());
    /// ```
    pub const fn wait_forever(self) -> Self {
        LockPolicy {
            wait: Wait::Forever,
            ..self
        }
    }

    /// Keeps the session alive for as long: see [`LockRequest::longest_hold`](crate::LockRequest::longest_hold).
    ///
    /// ```
    /// use std::time::Duration;
    /// use diesel_advisory_lock::LockPolicy;
    ///
    /// const SLOW: LockPolicy = LockPolicy::new().longest_hold(Duration::from_secs(600));
    /// # assert_ne!(SLOW, LockPolicy::new());
    /// ```
    pub const fn longest_hold(self, longest_hold: Duration) -> Self {
        LockPolicy {
            longest_hold: Some(longest_hold),
            ..self
        }
    }
}

/// A type's own lock policy, as a constant for generic code.
///
/// `#[derive(Lockable)]` implements it. The derive's `lock` and `with_lock` are methods of the type,
/// and start from its policy. Generic code calls the methods of [`Lockable`](crate::Lockable)
/// instead, which start from the default policy. Pass the constant to `.policy(..)` there:
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::{HasLockPolicy, LockSource, Reload};
///
/// fn with_policy<T, S, R>(
///     model: &mut T,
///     conn: &mut S,
///     body: impl FnOnce(&mut T, &mut S::Connection) -> QueryResult<R>,
/// ) -> QueryResult<R>
/// where
///     T: Lockable + HasLockPolicy + for<'a> Reload<'a, S::Connection>,
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
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let mut from: Account = accounts::table.find(1).first(&mut conn)?;
/// let balance = with_policy(&mut from, &mut conn, |account, _| Ok(account.balance))?; // waits 5s
/// # assert_eq!(balance, 100);
///
/// // A set of locks has one policy, which is the default unless it is given:
/// let mut to: Account = accounts::table.find(2).first(&mut conn)?;
/// let sum = LockAll::of((&mut from, &mut to))
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
    message = "`{Self}` has no lock policy of its own",
    label = "no `LOCK_POLICY`",
    note = "`#[derive(Lockable)]` gives a type one, which is the default unless `#[lock(timeout = \"5s\")]` \
            or the like changes it"
)]
pub trait HasLockPolicy {
    /// How long a request for this type's lock waits and holds, unless the request says so itself.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// use std::time::Duration;
    ///
    /// use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::{HasLockPolicy, LockPolicy};
    ///
    /// #[derive(Identifiable, Lockable)]
    /// #[diesel(table_name = accounts)]
    /// #[lock(timeout = "5s")]
    /// struct Account {
    ///     id: i32,
    /// }
    ///
    /// fn policy_of<T: HasLockPolicy>(_: &T) -> LockPolicy {
    ///     T::LOCK_POLICY
    /// }
    ///
    /// # fn main() {
    /// let policy = policy_of(&Account { id: 1 });
    /// assert_eq!(policy, LockPolicy::new().timeout(Duration::from_secs(5)));
    /// # }
    /// ```
    const LOCK_POLICY: LockPolicy;
}

impl Default for LockPolicy {
    fn default() -> Self {
        LockPolicy::new()
    }
}

/// A request's own times, or else its policy's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    policy: LockPolicy,
    wait: Option<Wait>,
    longest_hold: Option<Duration>,
}

impl Times {
    pub(crate) fn policy(&mut self, policy: LockPolicy) {
        self.policy = policy;
    }

    pub(crate) fn wait(&mut self, wait: Wait) {
        self.wait = Some(wait);
    }

    pub(crate) fn longest_hold(&mut self, longest_hold: Duration) {
        self.longest_hold = Some(longest_hold);
    }

    pub(crate) fn attempt(self) -> Attempt {
        self.attempt_of(self.wait.unwrap_or(self.policy.wait))
    }

    /// Of a `try_` form, which does not wait unless the request itself was told to.
    pub(crate) fn try_attempt(self) -> Attempt {
        self.attempt_of(self.wait.unwrap_or(Wait::For(Duration::ZERO)))
            .of_a_try_form()
    }

    fn attempt_of(self, wait: Wait) -> Attempt {
        Attempt::new(wait, self.longest_hold.or(self.policy.longest_hold))
    }
}
