//! [`Deadline`]: how long a request goes on waiting, from when it was made.

use std::time::{Duration, Instant};

use crate::backend::Wait;
use crate::error::LockError;
use crate::name::LockName;

/// One for all that a request waits for: its turn, a connection, each of its locks.
#[derive(Debug)]
pub struct Deadline {
    asked: Instant,
    wait: Wait,
}

impl Deadline {
    pub(crate) fn new(wait: Wait) -> Self {
        Deadline {
            asked: Instant::now(),
            wait,
        }
    }

    pub(crate) fn remaining(&self) -> Wait {
        match self.wait {
            Wait::For(wait) => Wait::For(wait.saturating_sub(self.asked.elapsed())),
            Wait::Forever => Wait::Forever,
        }
    }

    pub(crate) fn timeout(&self, name: LockName) -> LockError {
        LockError::Timeout {
            name,
            waited: self.asked.elapsed(),
        }
    }

    /// `None` is beyond what the clock can tell.
    pub(crate) fn instant(&self) -> Option<Instant> {
        match self.wait {
            Wait::For(wait) => self.asked.checked_add(wait),
            Wait::Forever => None,
        }
    }

    /// How long to wait for a connection, which a pool limits too. Who does not wait for the lock
    /// still needs a connection to ask for it.
    pub(crate) fn for_connection(&self, limit: Duration) -> Duration {
        match self.remaining() {
            _ if self.wait == Wait::For(Duration::ZERO) => limit,
            Wait::For(remaining) => remaining.min(limit),
            Wait::Forever => limit,
        }
    }
}
