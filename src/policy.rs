//! [`LockPolicy`]: how long requests wait and hold that do not say so themselves.

use std::time::Duration;

use crate::attempt::Attempt;
use crate::backend::Wait;

/// How long a request waits unless it is told: 45 seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45);

/// How long the requests of a model wait and hold that do not say so themselves.
///
/// `#[derive(Lockable)]` makes one of `#[lock(timeout = "5s")]` and the like, and starts the model's
/// requests with it. A policy is never part of a lock's identity: two structs over one row take the same
/// lock, whatever each is ready to wait. The `try_` forms do not wait by a policy, only
/// if the request itself was told to.
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
    pub const fn new() -> Self {
        LockPolicy {
            wait: Wait::For(DEFAULT_TIMEOUT),
            longest_hold: None,
        }
    }

    /// Waits for at most `timeout`, to the millisecond (rounded up).
    pub const fn timeout(self, timeout: Duration) -> Self {
        LockPolicy {
            wait: Wait::For(timeout),
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
            wait: Wait::Forever,
            ..self
        }
    }

    /// Keeps the session alive for as long: see [`LockRequest::longest_hold`](crate::LockRequest::longest_hold).
    pub const fn longest_hold(self, longest_hold: Duration) -> Self {
        LockPolicy {
            longest_hold: Some(longest_hold),
            ..self
        }
    }
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
