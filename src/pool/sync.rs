//! What the queue is built on. `tests/queue.rs` builds it on loom's instead.

use std::sync::{LockResult, PoisonError};
use std::time::Instant;

pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

/// Nothing panics between two steps that belong together, so a poisoned mutex is as good as another.
pub(super) fn unpoisoned<G>(locked: LockResult<G>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// Waits until it is woken, or the deadline has passed.
pub(super) fn wait_until<'m, T>(
    woken: &Condvar,
    guard: MutexGuard<'m, T>,
    deadline: Option<Instant>,
) -> (MutexGuard<'m, T>, Expired) {
    let Some(deadline) = deadline else {
        return (unpoisoned(woken.wait(guard)), Expired(false));
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return (guard, Expired(true));
    }
    (
        unpoisoned(woken.wait_timeout(guard, left)).0,
        Expired(false),
    )
}

/// Whether the deadline had passed before it waited.
pub(super) struct Expired(pub(super) bool);
