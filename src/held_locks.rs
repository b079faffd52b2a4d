//! [`HeldLocks`]: the locks of one guard, and its steps from acquire to release.

use std::collections::HashMap;

use crate::backend::{Backend, LockDriver, TransactionLocks};
use crate::deadline::Deadline;
use crate::error::LockError;
use crate::in_use::{self, Enclosing, EnclosingFuture};
use crate::mode::LockMode;
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::session_lock::{self, Armed, PendingLock, Progress, SessionLock, without_second_panic};
use crate::telemetry::{Ended, LockTelemetry, Scope};
use crate::transaction::{Depth, TransactionContext};

/// The locks that a guard holds in one session, in the order in which they were acquired.
pub struct HeldLocks<B: Backend> {
    pub(crate) locks: OneOrMany<SessionLock<B>>,
    /// The name of each item of a set, and the index of its lock, since two names may be one lock
    /// to the server. Empty for a single lock.
    items: Vec<(LockName, usize)>,
    /// The transactions that were open before the locks.
    pub(crate) before: Depth,
    pub(crate) progress: Progress,
}

/// How a call holds its locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) mode: LockMode,
    /// The call runs its closure in a transaction of the library's.
    pub(crate) in_transaction: bool,
    /// The request had to wait for another request of this process.
    pub(crate) contended: bool,
}

/// Returns an error if one of the names must not be sent to the server.
pub(crate) fn check_names<B: Backend>(
    names: &[LockName],
    deadline: &Deadline,
) -> Result<(), LockError> {
    for name in names {
        if let Err(error) = name.check::<B>() {
            return Err(PendingLock::new(name.clone()).not_acquired(deadline, |_| error));
        }
    }
    Ok(())
}

/// The name in errors about a whole set.
pub(crate) fn label(names: &[LockName]) -> LockName {
    names.first().unwrap_or(LockName::of_empty_set()).clone()
}

impl<B: Backend> HeldLocks<B> {
    /// Acquires all locks in the server's order, whatever order the names are in, so that no two
    /// sets can deadlock. On an error no lock is held. The caller has checked the names with
    /// [`check_names`].
    pub(crate) async fn acquire<C: LockDriver<Server = B>>(
        conn: &mut C,
        names: OneOrMany<LockName>,
        deadline: &Deadline,
        hold: Hold,
    ) -> Result<Self, LockError> {
        let mut armed = Armed::new(conn);
        let conn = armed.conn();
        let acquired = match names {
            OneOrMany::One(name) => Self::acquire_one(conn, name, deadline, hold).await,
            OneOrMany::Many(names) => Self::acquire_many(conn, &names, deadline, hold).await,
        };
        armed.disarm();
        acquired
    }

    // Inlined, since a call would copy the future and the lock.
    #[inline(always)]
    async fn acquire_one<C: LockDriver<Server = B>>(
        conn: &mut C,
        name: LockName,
        deadline: &Deadline,
        hold: Hold,
    ) -> Result<Self, LockError> {
        let mut pending = PendingLock::with(name, None, hold.contended);
        if B::BEGINS_WITH_LOCKS && hold.in_transaction {
            let mut pendings = vec![pending];
            if let Some(mut locks) =
                Self::begin_with_locks(conn, &mut pendings, deadline, hold).await?
            {
                let lock = locks.remove(0);
                return Ok(HeldLocks {
                    progress: Progress::Begun,
                    ..Self::of_one(lock)
                });
            }
            pending = pendings.remove(0);
        }
        let lock = SessionLock::acquire(conn, pending, hold.mode, deadline).await;
        lock.map(Self::of_one)
    }

    /// Begins the transaction of a `.transaction` form together with its locks, if the server can.
    /// Otherwise the requests are left for [`SessionLock::acquire`].
    async fn begin_with_locks<C: LockDriver<Server = B>>(
        conn: &mut C,
        pendings: &mut Vec<PendingLock>,
        deadline: &Deadline,
        hold: Hold,
    ) -> Result<Option<Vec<SessionLock<B>>>, LockError> {
        let before = match Depth::of(conn) {
            Ok(before) if before.context() == TransactionContext::NoTransaction => before,
            // Acquiring reports the error.
            _ => return Ok(None),
        };
        // Under a lock of its own, the session holds this one already.
        if pendings.iter().any(|it| in_use::is_enclosing(&it.name)) {
            return Ok(None);
        }
        let begun = {
            let sources: Vec<_> = pendings.iter().map(|it| it.name.key_source()).collect();
            B::begin_with_locks(conn, &sources, deadline.remaining(), hold.mode).await
        };
        let acquired = match begun {
            Ok(Some(acquired)) => acquired,
            Ok(None) => return Ok(None),
            Err((index, error)) => {
                let pending = pendings.swap_remove(index);
                return Err(session_lock::not_acquired(conn, pending, error, deadline).await);
            }
        };
        let mut locks = Vec::with_capacity(acquired.len());
        for (pending, acquired) in pendings.drain(..).zip(acquired) {
            match SessionLock::start(conn, pending, acquired, before, deadline).await {
                Ok(lock) => locks.push(lock),
                Err(error) => {
                    drop(session_lock::end(conn, &mut locks, before, Progress::Begun).await);
                    return Err(error);
                }
            }
        }
        Ok(Some(locks))
    }

    fn of_one(lock: SessionLock<B>) -> Self {
        HeldLocks {
            before: lock.before,
            locks: OneOrMany::One(lock),
            items: Vec::new(),
            progress: Progress::Plain,
        }
    }

    async fn acquire_many<C: LockDriver<Server = B>>(
        conn: &mut C,
        names: &[LockName],
        deadline: &Deadline,
        hold: Hold,
    ) -> Result<Self, LockError> {
        let label = label(names);
        let failed = |source| LockError::before(&label, source);
        let before = Depth::of(conn).map_err(failed)?;
        let sources = names.iter().map(LockName::key_source).collect();
        let keys = match B::sort_keys(conn, sources).await {
            Ok(keys) => keys,
            Err((index, error)) => {
                let pending = PendingLock::with(names[index].clone(), None, hold.contended);
                return Err(session_lock::not_acquired(conn, pending, error, deadline).await);
            }
        };
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|&one, &other| keys[one].cmp(&keys[other]));
        let mut items: Vec<_> = names.iter().map(|name| (name.clone(), 0)).collect();
        // The first item of each lock.
        let mut firsts: Vec<usize> = Vec::with_capacity(names.len());
        for item in order {
            if firsts.last().is_none_or(|&first| keys[first] != keys[item]) {
                firsts.push(item);
            }
            items[item].1 = firsts.len() - 1;
        }
        fn request(name: &LockName, outer: Option<&LockTelemetry>, hold: Hold) -> PendingLock {
            PendingLock::with(name.clone(), outer, hold.contended)
        }
        let mut locks: Vec<SessionLock<B>> = Vec::with_capacity(firsts.len());
        let mut progress = Progress::Plain;
        let mut pendings: Vec<PendingLock> = Vec::new();
        if B::BEGINS_WITH_LOCKS && hold.in_transaction && !firsts.is_empty() {
            for &item in &firsts {
                let outer = pendings.last().map(|outer| &outer.telemetry);
                let pending = request(&names[item], outer, hold);
                pendings.push(pending);
            }
            if let Some(begun) = Self::begin_with_locks(conn, &mut pendings, deadline, hold).await?
            {
                (locks, progress) = (begun, Progress::Begun);
                firsts.clear();
            }
        }
        let mut pendings = pendings.into_iter();
        for item in firsts {
            let outer = locks.last().map(|lock| &lock.telemetry);
            let pending = pendings.next();
            let pending = pending.unwrap_or_else(|| request(&names[item], outer, hold));
            match SessionLock::acquire(conn, pending, hold.mode, deadline).await {
                Ok(lock) => locks.push(lock),
                Err(error) => {
                    // Telemetry records both errors; the first one is returned.
                    drop(session_lock::end(conn, &mut locks, before, Progress::Plain).await);
                    return Err(error);
                }
            }
        }
        Ok(HeldLocks {
            locks: OneOrMany::Many(locks),
            items,
            before,
            progress,
        })
    }

    /// Acquires locks that end with the open transaction, whatever order the names are in. On an
    /// error those that were acquired are held until it ends.
    pub(crate) async fn acquire_until_commit<C: LockDriver<Server = B>>(
        conn: &mut C,
        names: &[LockName],
        deadline: &Deadline,
        mode: LockMode,
    ) -> Result<Self, LockError>
    where
        B: TransactionLocks,
    {
        let mut armed = Armed::new(conn);
        let acquired = Self::acquire_each_until_commit(armed.conn(), names, deadline, mode).await;
        armed.disarm();
        acquired
    }

    async fn acquire_each_until_commit<C: LockDriver<Server = B>>(
        conn: &mut C,
        names: &[LockName],
        deadline: &Deadline,
        mode: LockMode,
    ) -> Result<Self, LockError>
    where
        B: TransactionLocks,
    {
        let label = label(names);
        let failed = |source| LockError::before(&label, source);
        let before = Depth::of(conn).map_err(failed)?;
        let mut order: Vec<usize> = (0..names.len()).collect();
        if names.len() > 1 {
            let sources = names.iter().map(LockName::key_source).collect();
            let keys = match B::sort_keys(conn, sources).await {
                Ok(keys) => keys,
                Err((index, error)) => {
                    let pending = PendingLock::with(names[index].clone(), None, false);
                    return Err(session_lock::not_acquired(conn, pending, error, deadline).await);
                }
            };
            order.sort_by(|&one, &other| keys[one].cmp(&keys[other]));
        }
        let mut locks: Vec<SessionLock<B>> = Vec::with_capacity(names.len());
        let mut items: Vec<_> = names.iter().map(|name| (name.clone(), 0)).collect();
        for item in order {
            let outer = locks.last().map(|lock| &lock.telemetry);
            let pending = PendingLock::with(names[item].clone(), outer, false);
            let lock = SessionLock::acquire_until_commit(conn, pending, mode, deadline).await?;
            items[item].1 = locks.len();
            locks.push(lock);
        }
        Ok(HeldLocks {
            locks: OneOrMany::Many(locks),
            items,
            before,
            progress: Progress::Plain,
        })
    }

    /// Treats every lock as its session's outermost, on a connection that has just been checked
    /// out. If the session already held a lock, an earlier user of the connection left it, and will
    /// not release it. So the session is ended if it still holds the lock after the release.
    pub(crate) fn treat_as_outermost(&mut self) {
        let locks = self.locks.as_mut_slice();
        for index in 0..locks.len() {
            let (before, lock) = locks.split_at_mut(index);
            let is_again = before
                .last()
                .is_some_and(|last| B::may_be_same(&last.key, &lock[0].key));
            if !is_again {
                lock[0].reentrant = false;
            }
        }
    }

    /// The name of the lock, or of the first item of the set.
    pub fn name(&self) -> &LockName {
        match (self.items.first(), self.locks.as_slice()) {
            (Some((name, _)), _) => name,
            (None, [lock, ..]) => &lock.name,
            (None, []) => LockName::of_empty_set(),
        }
    }

    /// Whether the session held all of these locks before.
    pub fn is_reentrant(&self) -> bool {
        let locks = self.locks.as_slice();
        !locks.is_empty() && locks.iter().all(|lock| lock.reentrant)
    }

    /// The lock of an item of the set.
    pub fn of_item(&self, item: usize) -> &SessionLock<B> {
        let locks = self.locks.as_slice();
        &locks[self.items.get(item).map_or(0, |(_, lock)| *lock)]
    }

    /// Records that a closure runs under these locks on this thread, until the result is dropped.
    pub(crate) fn enter_closure(&self) -> Enclosing {
        Enclosing::enter(self.names())
    }

    /// The locks, for a closure that is a future.
    pub fn enclose_future(&self) -> EnclosingFuture {
        EnclosingFuture::new(self.names())
    }

    fn names(&self) -> impl Iterator<Item = &LockName> {
        let of_one = self.locks.as_slice().iter().map(|lock| &lock.name);
        let of_set = self.items.iter().map(|(name, _)| name);
        of_one.chain(of_set)
    }

    /// Records that the session has been ended, and with it the locks.
    pub fn session_ended(&mut self) {
        let locks = self.locks.as_mut_slice();
        let _: Option<()> = without_second_panic(|| {
            for lock in locks {
                lock.telemetry.ended(&lock.name, Ended::Abandoned);
            }
        });
    }

    /// The span that a closure runs in.
    pub fn span(&self) -> Scope {
        let last = self.locks.as_slice().last();
        last.map_or_else(Scope::default, |lock| lock.telemetry.span())
    }

    /// Asks the server whether the session holds the locks.
    ///
    /// # Errors
    ///
    /// [`LockError::Lost`].
    pub async fn verify<C: LockDriver<Server = B>>(
        &mut self,
        conn: &mut C,
    ) -> Result<(), LockError> {
        SessionLock::verify(self.locks.as_slice(), conn).await
    }

    /// Begins the transaction of a `.transaction` form.
    pub(crate) async fn begin<C: LockDriver<Server = B>>(
        &mut self,
        conn: &mut C,
    ) -> Result<(), LockError> {
        if self.progress == Progress::Begun {
            return Ok(());
        }
        let mut armed = Armed::new(conn);
        let begun = B::begin(armed.conn()).await;
        armed.disarm();
        begun.map_err(|source| LockError::before(self.name(), source))?;
        self.progress = Progress::Begun;
        Ok(())
    }

    /// Commits that transaction, if the session proves that it holds the locks.
    pub(crate) async fn commit<C: LockDriver<Server = B>>(
        &mut self,
        conn: &mut C,
    ) -> Result<(), LockError> {
        let label = self.name().clone();
        let locks = self.locks.as_mut_slice();
        let condition = session_lock::commit(conn, locks, &label, self.before).await?;
        self.progress = Progress::Committed(condition);
        Ok(())
    }

    /// Rolls back transactions that are still open, and releases the locks.
    ///
    /// # Errors
    ///
    /// See `LockGuard::release`.
    pub async fn end<C: LockDriver<Server = B>>(&mut self, conn: &mut C) -> Result<(), LockError> {
        let locks = self.locks.as_mut_slice();
        session_lock::end(conn, locks, self.before, self.progress).await
    }

    /// Starts another call, which has requested the same locks.
    pub(crate) async fn take_over<C: LockDriver<Server = B>>(
        &mut self,
        names: &OneOrMany<LockName>,
        conn: &mut C,
        deadline: &Deadline,
    ) -> Result<(), LockError> {
        self.progress = Progress::Plain;
        if let OneOrMany::Many(names) = names {
            let by_name: HashMap<_, _> = self.items.drain(..).collect();
            let item = |name: &LockName| (name.clone(), by_name.get(name).copied().unwrap_or(0));
            self.items = names.iter().map(item).collect();
        }
        let mut armed = Armed::new(conn);
        let locks = self.locks.as_mut_slice();
        let mut begun = Ok(());
        for index in 0..locks.len() {
            let (before, lock) = locks.split_at_mut(index);
            let outer = before.last().map(|lock| &lock.telemetry);
            let pending = PendingLock::with(lock[0].name.clone(), outer, true);
            begun = begun.and(lock[0].take_over(pending, armed.conn(), deadline).await);
        }
        armed.disarm();
        begun
    }
}

/// The futures of the steps are `Send`.
#[cfg(test)]
#[expect(dead_code, reason = "it only has to compile")]
fn steps_are_send<C: LockDriver>(
    conn: &mut C,
    held: &mut HeldLocks<C::Server>,
    names: OneOrMany<LockName>,
    deadline: &Deadline,
    hold: Hold,
) {
    fn is_send<T: Send>(_: T) {}
    is_send(held.take_over(&names, conn, deadline));
    is_send(HeldLocks::acquire(conn, names, deadline, hold));
    is_send(held.begin(conn));
    is_send(held.verify(conn));
    is_send(held.commit(conn));
    is_send(held.end(conn));
}
