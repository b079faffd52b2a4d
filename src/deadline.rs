//! [`Deadline`]: how long one call may wait.

use std::time::{Duration, Instant};

use crate::error::{LockError, TimeoutCause};
use crate::name::LockName;

/// How long a request waits for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    For(Duration),
    Forever,
}

/// The limits of one call: its timeout, its keep-alive, and whether it is a `try_` form. The
/// timeout starts with the request, and covers the queue, the connection and the lock.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    requested: Instant,
    wait: Wait,
    is_try: bool,
    keep_alive: Option<Duration>,
}

impl Deadline {
    pub(crate) fn new(wait: Wait, is_try: bool, keep_alive: Option<Duration>) -> Self {
        Deadline {
            requested: Instant::now(),
            wait,
            is_try,
            keep_alive,
        }
    }

    /// Whether the call is a `try_` method, which does not return a timeout as an error.
    pub(crate) fn is_try(&self) -> bool {
        self.is_try
    }

    pub(crate) fn keep_alive(&self) -> Option<Duration> {
        self.keep_alive
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.requested.elapsed()
    }

    /// The remaining wait.
    pub(crate) fn remaining(&self) -> Wait {
        match self.wait {
            Wait::For(wait) => Wait::For(wait.saturating_sub(self.requested.elapsed())),
            Wait::Forever => Wait::Forever,
        }
    }

    pub(crate) fn timeout(&self, name: LockName, cause: TimeoutCause) -> LockError {
        LockError::Timeout {
            name,
            waited: self.elapsed(),
            holder: None,
            cause,
        }
    }

    /// Whether the call does not wait.
    pub fn is_without_wait(&self) -> bool {
        self.wait == Wait::For(Duration::ZERO)
    }

    /// The end of the wait. `None` means never.
    pub fn instant(&self) -> Option<Instant> {
        match self.wait {
            Wait::For(wait) => self.requested.checked_add(wait),
            Wait::Forever => None,
        }
    }

    /// How long to wait for a connection of a pool with this limit.
    pub(crate) fn for_connection(&self, limit: Duration) -> Duration {
        match self.remaining() {
            Wait::For(remaining) => remaining.min(limit),
            Wait::Forever => limit,
        }
    }
}
