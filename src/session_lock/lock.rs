//! [`SessionLock`]: a lock that a session holds.

use crate::backend::Backend;
use crate::name::LockName;
use crate::telemetry::LockTelemetry;
use crate::transaction::Depth;

/// A lock that a session holds.
pub struct SessionLock<B: Backend> {
    pub(crate) name: LockName,
    pub(crate) telemetry: LockTelemetry,
    pub(crate) key: B::Key,
    pub(super) session: B::SessionId,
    /// Whether the session held the lock before.
    pub(crate) reentrant: bool,
    /// The transactions that were open before the lock, which the library does not end.
    pub(crate) before: Depth,
    /// The session's previous idle timeouts, if they were raised.
    pub(super) idle_timeouts_before: Option<B::IdleTimeouts>,
}

impl<B: Backend> SessionLock<B> {
    /// The lock as the server knows it, as a text.
    pub fn key(&self) -> &str {
        self.key.as_ref()
    }
}
