//! [`Attempt`]: what a request was told, and since when it goes on.

use std::time::{Duration, Instant};

use crate::backend::Wait;
use crate::error::{LockError, TimeoutCause};
use crate::locks::Session;
use crate::name::LockName;

/// One for all that a request waits for: its turn, a connection, each of its locks.
#[derive(Debug)]
pub struct Attempt {
    asked: Instant,
    wait: Wait,
    /// Of a `try_` form, whose time-out is no error that anybody reads.
    is_try: bool,
    longest_hold: Option<Duration>,
}

impl Attempt {
    pub(crate) fn new(wait: Wait, longest_hold: Option<Duration>) -> Self {
        Attempt {
            asked: Instant::now(),
            wait,
            is_try: false,
            longest_hold,
        }
    }

    pub(crate) fn of_a_try_form(self) -> Self {
        Attempt {
            is_try: true,
            ..self
        }
    }

    pub(crate) fn is_try(&self) -> bool {
        self.is_try
    }

    /// For how long the connection may have to stay alive without a word.
    pub(crate) fn longest_hold(&self) -> Option<Duration> {
        self.longest_hold
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Who holds the lock, if an error is to tell it.
    pub(crate) fn explain(&self, holder: impl FnOnce() -> Option<Session>) -> Option<Box<Session>> {
        (!self.is_try()).then(holder).flatten().map(Box::new)
    }

    pub(crate) fn remaining(&self) -> Wait {
        match self.wait {
            Wait::For(wait) => Wait::For(wait.saturating_sub(self.asked.elapsed())),
            Wait::Forever => Wait::Forever,
        }
    }

    /// A timeout before the server was asked.
    pub(crate) fn timeout(&self, name: LockName, cause: TimeoutCause) -> LockError {
        LockError::Timeout {
            name,
            waited: self.elapsed(),
            holder: None,
            cause,
        }
    }

    pub(crate) fn is_without_wait(&self) -> bool {
        self.wait == Wait::For(Duration::ZERO)
    }

    /// `None` is beyond what the clock can tell.
    pub(crate) fn instant(&self) -> Option<Instant> {
        match self.wait {
            Wait::For(wait) => self.asked.checked_add(wait),
            Wait::Forever => None,
        }
    }

    /// How long to wait for a connection, which a pool limits too.
    pub(crate) fn for_connection(&self, limit: Duration) -> Duration {
        match self.remaining() {
            Wait::For(remaining) => remaining.min(limit),
            Wait::Forever => limit,
        }
    }
}
