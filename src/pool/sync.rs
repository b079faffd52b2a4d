//! What the wait queue is built on. `tests/wait_queue_loom.rs` builds it on loom instead.

use std::sync::{Arc, LockResult, PoisonError};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

pub(super) use std::sync::{Mutex, MutexGuard};

/// Ignores poisoning: no panic leaves the queue half changed.
pub(super) fn unpoisoned<G>(locked: LockResult<G>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// Blocks the thread that made it until the thread's waker is woken.
pub(super) struct Parker(Thread);

impl Parker {
    pub(super) fn new() -> Self {
        Parker(thread::current())
    }

    /// Returns when the waker is woken, at the deadline, or spuriously. Returns `false` if the
    /// deadline had passed before the call.
    pub(super) fn park_until(&self, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else {
            thread::park();
            return true;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            thread::park_timeout(left);
        }
        !left.is_zero()
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
