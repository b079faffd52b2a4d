//! [`LockPolicy`]: how long requests wait that do not say so themselves.

use std::time::Duration;

use crate::backend::Wait;
use crate::deadline::Deadline;

/// How long a request waits unless it is told: 45 seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45);

/// How long the requests of a model wait that do not say so themselves.
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
}

impl LockPolicy {
    /// Waits for [`DEFAULT_TIMEOUT`].
    pub const fn new() -> Self {
        LockPolicy {
            wait: Wait::For(DEFAULT_TIMEOUT),
        }
    }

    /// Waits for at most `timeout`, to the millisecond (rounded up).
    pub const fn timeout(self, timeout: Duration) -> Self {
        LockPolicy {
            wait: Wait::For(timeout),
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
        }
    }
}

impl Default for LockPolicy {
    fn default() -> Self {
        LockPolicy::new()
    }
}

/// A request's own wait, or else its policy's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    policy: LockPolicy,
    told: Option<Wait>,
}

impl Patience {
    pub(crate) fn policy(&mut self, policy: LockPolicy) {
        self.policy = policy;
    }

    pub(crate) fn told(&mut self, wait: Wait) {
        self.told = Some(wait);
    }

    pub(crate) fn deadline(self) -> Deadline {
        Deadline::new(self.told.unwrap_or(self.policy.wait))
    }

    /// Of a `try_` form, which does not wait unless the request itself was told to.
    pub(crate) fn try_deadline(self) -> Deadline {
        Deadline::new(self.told.unwrap_or(Wait::For(Duration::ZERO))).unexplained()
    }
}
