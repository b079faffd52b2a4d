//! [`PendingLock`]: a lock that a call has requested and does not hold yet.

use crate::deadline::Deadline;
use crate::error::LockError;
use crate::name::LockName;
use crate::telemetry::LockTelemetry;

/// A lock that a call has requested and does not hold yet.
pub(crate) struct PendingLock {
    pub(crate) name: LockName,
    pub(crate) telemetry: LockTelemetry,
}

impl PendingLock {
    pub(crate) fn new(name: LockName) -> Self {
        Self::with(name, None, false)
    }

    /// In a set, `outer` is the lock before this one. `contended`: the request had to wait for
    /// another request of this process.
    pub(crate) fn with(name: LockName, outer: Option<&LockTelemetry>, contended: bool) -> Self {
        let mut telemetry = LockTelemetry::requested(&name, outer);
        if contended {
            telemetry.contended();
        }
        PendingLock { name, telemetry }
    }

    /// Records that the lock was not acquired, and returns the error.
    pub(crate) fn not_acquired(
        self,
        deadline: &Deadline,
        error: impl FnOnce(LockName) -> LockError,
    ) -> LockError {
        let error = error(self.name);
        self.telemetry.not_acquired(deadline, &error);
        error
    }
}
