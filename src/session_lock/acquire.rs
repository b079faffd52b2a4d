//! Acquiring a lock.

use crate::backend::{AcquireError, Acquired, Backend, LockDriver, Request, TransactionLocks};
use crate::deadline::Deadline;
use crate::error::{LockError, TimeoutCause};
use crate::in_use;
use crate::mode::LockMode;
use crate::transaction::Depth;

use super::end::{Progress, end_steps};
use super::lock::SessionLock;
use super::pending::PendingLock;

impl<B: Backend> SessionLock<B> {
    /// Acquires the lock, or waits for it. The caller has [armed](super::Armed) the connection.
    pub(crate) async fn acquire<C: LockDriver<Server = B>>(
        conn: &mut C,
        pending: PendingLock,
        mode: LockMode,
        deadline: &Deadline,
    ) -> Result<Self, LockError> {
        let before = match Depth::of(conn) {
            Ok(before) => before,
            Err(source) => {
                return Err(pending.not_acquired(deadline, |name| LockError::before(&name, source)));
            }
        };
        // Inside a transaction only a re-entrant lock is acquired: the release of a new lock would
        // precede the COMMIT, and the snapshot may predate the lock.
        let request = Request {
            lock: pending.name.key_source(),
            wait: deadline.remaining(),
            context: before.context(),
            mode,
        };
        let acquired = match B::acquire(conn, request).await {
            Ok(acquired) => acquired,
            Err(error) => return Err(not_acquired(conn, pending, error, deadline).await),
        };
        Self::start(conn, pending, acquired, before, deadline).await
    }

    /// Starts the hold of a lock that the session has acquired.
    pub(crate) async fn start<C: LockDriver<Server = B>>(
        conn: &mut C,
        mut pending: PendingLock,
        acquired: Acquired<B::Key, B::SessionId>,
        before: Depth,
        deadline: &Deadline,
    ) -> Result<Self, LockError> {
        let Acquired {
            key,
            session,
            reentrant,
            contended,
        } = acquired;
        if contended {
            pending.telemetry.contended();
        }
        let mut lock = SessionLock {
            name: pending.name,
            telemetry: pending.telemetry,
            key,
            session,
            reentrant,
            before,
            idle_timeouts_before: None,
        };
        match lock.start_hold(conn, deadline).await {
            Ok(()) => Ok(lock),
            Err(error) => {
                // Telemetry records both errors; the first one is returned.
                let locks = std::slice::from_mut(&mut lock);
                drop(end_steps(conn, locks, before, Progress::Plain).await);
                Err(error)
            }
        }
    }

    /// Acquires a lock that ends with the open transaction. The caller has [armed](super::Armed)
    /// the connection.
    pub(crate) async fn acquire_until_commit<C: LockDriver<Server = B>>(
        conn: &mut C,
        pending: PendingLock,
        mode: LockMode,
        deadline: &Deadline,
    ) -> Result<Self, LockError>
    where
        B: TransactionLocks,
    {
        let before = match Depth::of(conn) {
            Ok(before) => before,
            Err(source) => {
                return Err(pending.not_acquired(deadline, |name| LockError::before(&name, source)));
            }
        };
        let request = Request {
            lock: pending.name.key_source(),
            wait: deadline.remaining(),
            context: before.context(),
            mode,
        };
        match B::acquire_until_commit(conn, request).await {
            Ok(acquired) => Self::start(conn, pending, acquired, before, deadline).await,
            Err(error) => Err(not_acquired(conn, pending, error, deadline).await),
        }
    }

    /// Records that the lock is held, and applies the request's keep-alive.
    pub(super) async fn start_hold<C: LockDriver<Server = B>>(
        &mut self,
        conn: &mut C,
        deadline: &Deadline,
    ) -> Result<(), LockError> {
        self.telemetry.acquired(deadline, self.reentrant);
        if let Some(keep_alive) = deadline.keep_alive() {
            let raised = B::raise_idle_timeouts(conn, keep_alive).await;
            let before = raised.map_err(|source| LockError::before(&self.name, source))?;
            self.idle_timeouts_before = before;
        }
        Ok(())
    }

    /// Starts another call, which has requested the same lock. The caller has
    /// [armed](super::Armed) the connection.
    pub(crate) async fn take_over<C: LockDriver<Server = B>>(
        &mut self,
        pending: PendingLock,
        conn: &mut C,
        deadline: &Deadline,
    ) -> Result<(), LockError> {
        self.telemetry = pending.telemetry;
        self.start_hold(conn, deadline).await
    }
}

pub(crate) async fn not_acquired<C: LockDriver>(
    conn: &mut C,
    pending: PendingLock,
    error: AcquireError<<C::Server as Backend>::Key>,
    deadline: &Deadline,
) -> LockError {
    let waited = deadline.elapsed();
    let key = match &error {
        AcquireError::Timeout { key } | AcquireError::Deadlock { key, .. } => Some(key),
        _ => None,
    };
    let holder = match key {
        // A `try_` form does not return the error, so the query would be wasted.
        Some(key) if !deadline.is_try() => C::Server::holder(conn, key).await.map(Box::new),
        _ => None,
    };
    pending.not_acquired(deadline, |name| match error {
        AcquireError::Timeout { .. } => LockError::Timeout {
            cause: match in_use::is_enclosing(&name) {
                true => TimeoutCause::EnclosingCall,
                false => TimeoutCause::Session,
            },
            name,
            waited,
            holder,
        },
        AcquireError::OpenTransaction(reason) => LockError::OpenTransaction { name, reason },
        AcquireError::Deadlock { error, .. } => LockError::Deadlock {
            name,
            holder,
            source: error,
        },
        AcquireError::Interrupted(source) => LockError::Interrupted { name, source },
        AcquireError::SharedHeld => LockError::SharedHeld { name },
        AcquireError::Isolation(level) => LockError::IsolationLevel { name, level },
        AcquireError::NoTransaction => LockError::NoTransaction { name },
        AcquireError::Database(source) => LockError::before(&name, source),
    })
}
