//! [`SessionLock`]: a lock that a session holds.

use std::time::Duration;

use crate::backend::Backend;
use crate::name::LockName;
use crate::telemetry::LockTelemetry;
use crate::transaction::Depth;

/// A lock that a session holds.
pub(crate) struct SessionLock<B: Backend> {
    pub(crate) name: LockName,
    pub(crate) telemetry: LockTelemetry,
    pub(crate) key: B::Key,
    pub(super) session: B::Session,
    /// Whether the session held it before.
    pub(crate) reentrant: bool,
    /// Transactions that were open before the lock, which are not ours to end.
    pub(crate) before: Depth,
    /// The session's idle timeout, if it was too short and has to be restored.
    pub(super) idle_timeout_before: Option<Duration>,
}
