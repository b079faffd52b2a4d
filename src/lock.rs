//! [`Lock`]: the builder of every lock, and [`LockDsl`], its finishing methods.

use std::marker::PhantomData;
use std::time::Duration;

use crate::backend::{LockDriver, LockSource, Supports, SupportsUntilCommit, TransactionLocks};
use crate::deadline::{Deadline, Wait};
use crate::driver::ready;
use crate::error::{FromLockError, LockError};
use crate::guard::{self, LockGuard, Transaction};
use crate::held_locks::{self, HeldLocks, Hold};
use crate::mode::{Exclusive, Mode, Shared};
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::options::{DEFAULT_TIMEOUT, LockOptions, LockPolicy};
use crate::set::{LockSet, ReloadSet, Rows};

/// A lock that is about to be acquired: options first, then a finishing method.
///
/// | expression | locks |
/// |---|---|
/// | [`model.lock()`](crate::Lockable::lock) | the row of a model, which is reloaded under the lock |
/// | [`name.lock()`](LockName::lock) | anything that has a [`LockName`] |
/// | [`lock_all(set)`](lock_all) | several of these at once |
///
/// The options are the methods of this type. The finishing methods are those of [`LockDsl`], for
/// the caller's connection, and of [`LockPool`](crate::LockPool), for a connection from a pool.
///
/// ```
/// # include!("doctest_setup.rs");
/// use std::time::Duration;
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
/// notification
///     .lock()
///     .scope("send")
///     .timeout(Duration::from_millis(250)) // or `.no_wait()`, or `.wait_forever()`
///     .run(&mut conn, |n, conn| n.send(conn))?;
/// # assert!(notification.sent);
/// # Ok(())
/// # }
/// ```
///
/// # Reloads
///
/// Every finishing method **reloads each model** under its lock, and replaces the caller's model
/// with the row, so that no decision is made on a stale copy. Save changes before you lock, since
/// the reload overwrites them. This holds whether the lock is re-entrant or not.
///
/// There is one exception. The very model that an enclosing closure was given **under this same
/// lock** keeps its unsaved changes while that closure runs. Any other copy of the row is reloaded,
/// and so is a model under another scope. Under a guard the model is always reloaded, since no
/// closure was given it: see [`acquire`](LockDsl::acquire).
///
/// # Sets
///
/// - The locks are acquired in the server's order, whatever order the set is in, so that no two
///   calls can deadlock. They are released in reverse.
/// - A lock that is in the set twice is acquired once. Two models of one row are both reloaded.
/// - One timeout covers all locks. If one of them cannot be acquired, those that were acquired are
///   released, and the error names that one.
/// - Each model is reloaded once **all** locks are held.
/// - Before a [`transaction`](LockDsl::transaction) commits, the session proves that it holds all
///   of them.
/// - An empty set runs the closure without any lock.
///
/// A set costs two round trips for each lock and one for each model. It costs one more if only some
/// of the names have an explicit [namespace](Self::namespace). A transaction costs three more: two
/// for BEGIN and COMMIT, and one for the proof, for up to 64 locks.
///
/// # Errors
///
/// - Before the closure runs: `Timeout`, `OpenTransaction`, `Deadlock`, `Interrupted`,
///   `InvalidName`, `Database`; `RowNotFound` if there is no row with a model's key; `KeyMismatch`
///   if the reloaded row has a different lock name; through a pool, `Pool`.
/// - After it: `Lost`, `TransactionLeftOpen`, `Database`, and from `transaction` also
///   `CommitUnknown`. [`LockError::outcome`] says what became of the work.
///
/// An error of the closure takes precedence over an error of the release. On an error, as on a
/// panic, an open transaction is rolled back and the lock is released. If the reload fails while it
/// runs on the server (`Database`), the connection is marked as broken, and a pool discards it.
#[derive(Clone, Debug)]
#[must_use = "nothing is locked until a finishing method such as `.run(..)` or `.acquire(..)` is \
              called"]
pub struct Lock<L, M = Exclusive> {
    set: L,
    options: LockOptions,
    scope: Option<String>,
    namespace: Option<String>,
    mode: PhantomData<M>,
}

impl LockName {
    /// Starts a lock of this name: options first, then a finishing method of [`LockDsl`].
    pub fn lock(&self) -> Lock<LockName> {
        Lock::new(self.clone())
    }
}

/// Starts a lock of several things at once: a tuple, an array, a slice or a `Vec` of models and
/// names; see [`LockSet`].
///
/// Two callers that acquire the same locks in different orders can deadlock. A set acquires them in
/// one order, whatever order they are given in.
///
/// The default policy applies, not the models' own, since one timeout covers all locks. To use a
/// model's policy, write `lock_all(..).policy(Account::LOCK_POLICY)`; see
/// [`HasLockPolicy`](crate::HasLockPolicy).
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
/// #[diesel(table_name = accounts)]
/// struct Account {
///     id: i32,
///     balance: i64,
/// }
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// let mut from: Account = accounts::table.find(1).first(&mut conn)?;
/// let mut to: Account = accounts::table.find(2).first(&mut conn)?;
///
/// let moved = lock_all((&mut from, &mut to)).transaction(&mut conn, |(from, to), conn| {
///     if from.balance < 30 {
///         return Ok(false);
///     }
///     from.balance -= 30;
///     to.balance += 30;
///     diesel::update(&*from).set(&*from).execute(conn)?;
///     diesel::update(&*to).set(&*to).execute(conn)?;
///     QueryResult::Ok(true)
/// })?;
/// # assert!(moved);
/// # assert_eq!((from.balance, to.balance), (70, 130));
///
/// // Without a transaction, models and names mixed:
/// let report = LockName::named("report");
/// lock_all((&mut from, &report)).run(&mut conn, |(from, _), _| {
///     println!("{}", from.balance);
///     Ok::<_, LockError>(())
/// })?;
/// # Ok(())
/// # }
/// ```
pub fn lock_all<L>(set: L) -> Lock<L> {
    Lock::new(set)
}

impl<L> Lock<L> {
    #[doc(hidden)]
    pub fn new(set: L) -> Self {
        Lock {
            set,
            options: LockOptions::default(),
            scope: None,
            namespace: None,
            mode: PhantomData,
        }
    }

    /// Shares the lock with other sessions that ask for it shared, as readers do. An exclusive lock
    /// excludes them all. Only on PostgreSQL; on another server the call does not compile.
    ///
    /// - Sessions are served in the order in which they asked: a session that waits for the
    ///   exclusive lock stops new readers.
    /// - A shared lock under one's own exclusive one is re-entrant. An exclusive lock under one's
    ///   own shared one is refused ([`LockError::SharedHeld`]), since two sessions that both do
    ///   this wait for each other.
    /// - A [`LockPool`](crate::LockPool) does not take it, since its requests queue one by one. Take
    ///   a connection from the pool instead.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use diesel::prelude::*;
    /// use diesel_advisory_lock::prelude::*;
    ///
    /// # #[cfg(feature = "postgres")] {
    /// # let mut conn = diesel::PgConnection::establish("postgres://localhost")?;
    /// let prices = LockName::named("prices");
    /// prices.lock().shared().run(&mut conn, |_, _conn| Ok::<_, LockError>(()))?; // a reader
    /// prices.lock().run(&mut conn, |_, _conn| Ok::<_, LockError>(()))?; // a writer
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    pub fn shared(self) -> Lock<L, Shared> {
        Lock {
            set: self.set,
            options: self.options,
            scope: self.scope,
            namespace: self.namespace,
            mode: PhantomData,
        }
    }
}

impl<L, M> Lock<L, M> {
    /// Uses `policy` for what the call itself does not set; see [`LockPolicy`].
    pub fn policy(mut self, policy: LockPolicy) -> Self {
        self.options.set_policy(policy);
        self
    }

    /// Waits for at most `timeout`, to the millisecond (rounded up). Then [`LockError::Timeout`] is
    /// returned.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_wait(Wait::For(timeout));
        self
    }

    /// Does not wait: if another session holds the lock, [`LockError::Timeout`] is returned at
    /// once.
    pub fn no_wait(mut self) -> Self {
        self.options.set_wait(Wait::For(Duration::ZERO));
        self
    }

    /// Waits until the lock is free.
    pub fn wait_forever(mut self) -> Self {
        self.options.set_wait(Wait::Forever);
        self
    }

    /// Keeps the session alive while the lock is held, for up to `keep_alive` without a statement
    /// on the connection, such as while a mail is sent.
    ///
    /// MySQL and MariaDB end a session that has been idle for `wait_timeout`: 8 hours by default,
    /// often set to minutes. PostgreSQL has three limits, none of which is set by default:
    /// `idle_session_timeout`, `idle_in_transaction_session_timeout` and, since version 17,
    /// `transaction_timeout`, which includes the time that a transaction is idle. When the session
    /// ends, the lock is [`LockError::Lost`].
    ///
    /// If a limit of the session is shorter than `keep_alive`, it is raised once the lock is
    /// acquired, and restored after its release. In a transaction of PostgreSQL the limits are
    /// raised until its end. The time is rounded up to seconds, and a year at most; on PostgreSQL,
    /// to milliseconds and 24 days.
    ///
    /// This is not a limit. A lock may be held longer, but the server may then end the session.
    /// With the feature `tracing`, an event is emitted for a longer hold.
    ///
    /// The option costs two round trips to read the timeout, and four more to raise and restore it.
    /// It has no effect on other limits on idle sessions: a proxy's, a firewall's, MariaDB's
    /// `idle_transaction_timeout`.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// use std::time::Duration;
    ///
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let send_the_mails = || ();
    /// let nightly = LockName::named("nightly-report").lock();
    /// let mut held = nightly.keep_alive(Duration::from_secs(10 * 3_600)).acquire(&mut conn)?;
    /// send_the_mails();
    /// held.verify()?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.options.set_keep_alive(keep_alive);
        self
    }

    /// Locks one use of the row or name, such as one method, instead of all its uses: see
    /// [`LockName::scope`].
    ///
    /// Under another scope a model is reloaded, so save before you lock one scope inside another.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Locks in another namespace, which programs that work in different schemas may share: see
    /// [`LockName::namespace`].
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Returns the names of the locks, with scope and namespace as set, in the order of the set.
    pub fn names(&self) -> Vec<LockName>
    where
        L: LockSet,
    {
        match self.requested() {
            OneOrMany::One(name) => vec![name],
            OneOrMany::Many(names) => names,
        }
    }

    #[doc(hidden)]
    pub fn requested(&self) -> OneOrMany<LockName>
    where
        L: LockSet,
    {
        let mut names = OneOrMany::none();
        self.set.names(&mut names);
        names.map(|mut name| {
            if let Some(scope) = &self.scope {
                name = name.scope(scope);
            }
            if let Some(namespace) = &self.namespace {
                name = name.namespace(namespace);
            }
            name
        })
    }

    #[doc(hidden)]
    pub fn deadline(&self) -> Deadline {
        self.deadline_or(DEFAULT_TIMEOUT)
    }

    /// Like `deadline`, with another timeout if neither the call nor its policy sets one.
    #[doc(hidden)]
    pub fn deadline_or(&self, timeout: Duration) -> Deadline {
        self.options.deadline(timeout)
    }

    #[doc(hidden)]
    pub fn try_deadline(&self) -> Deadline {
        self.options.try_deadline()
    }

    /// Acquires the locks on a connection. The future does not borrow the models.
    // Inlined, since a call would copy the future and the locks.
    #[doc(hidden)]
    #[inline(always)]
    pub fn acquire_locks<'d, D: LockDriver>(
        &self,
        driver: &'d mut D,
        deadline: &'d Deadline,
        transaction: Transaction,
    ) -> impl Future<Output = Result<HeldLocks<D::Server>, LockError>> + use<'d, D, L, M>
    where
        L: LockSet,
        M: Mode,
    {
        let names = self.requested();
        async move {
            held_locks::check_names::<D::Server>(names.as_slice(), deadline)?;
            let hold = Hold {
                mode: M::MODE,
                in_transaction: transaction == Transaction::Begin,
                contended: false,
            };
            HeldLocks::acquire(driver, names, deadline, hold).await
        }
    }

    /// Acquires the locks until the end of the open transaction. The future does not borrow the
    /// models.
    #[doc(hidden)]
    pub fn acquire_locks_until_commit<'d, D>(
        &self,
        driver: &'d mut D,
        deadline: &'d Deadline,
    ) -> impl Future<Output = Result<HeldLocks<D::Server>, LockError>> + use<'d, D, L, M>
    where
        D: LockDriver<Server: TransactionLocks>,
        L: LockSet,
        M: Mode,
    {
        let names = self.requested();
        async move {
            let names = names.as_slice();
            held_locks::check_names::<D::Server>(names, deadline)?;
            HeldLocks::acquire_until_commit(driver, names, deadline, M::MODE).await
        }
    }

    /// Acquires the locks until the end of the open transaction, and reloads the models.
    fn acquire_until_commit<C: SupportsUntilCommit>(
        mut self,
        conn: &mut C,
        deadline: &Deadline,
    ) -> Result<(), LockError>
    where
        L: ReloadSet<C>,
        M: Mode,
    {
        let locks = ready(self.acquire_locks_until_commit(conn, deadline))?;
        self.set.reload(&mut Rows::new(conn, &locks))
    }

    #[doc(hidden)]
    pub fn into_set(self) -> L {
        self.set
    }
}

/// The finishing methods of a [`Lock`], on the caller's connection.
///
/// | method | waits | if the lock is held elsewhere for longer |
/// |---|---|---|
/// | [`run`](Self::run), [`transaction`](Self::transaction), [`acquire`](Self::acquire) | 45 seconds, or as the options say | [`LockError::Timeout`] |
/// | [`try_run`](Self::try_run), [`try_transaction`](Self::try_transaction), [`try_acquire`](Self::try_acquire) | not at all, or as the options say | `Ok(None)` |
///
/// [`LockPool`](crate::LockPool) has the same six methods, and takes a connection from its pool.
/// [`Lock`] says what they reload and which errors they return.
///
/// The prelude brings this trait into scope.
pub trait LockDsl<L, M = Exclusive>: Sized {
    /// Acquires the lock, reloads the model, runs `body`, and releases the lock.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let sent = notification.lock().run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(sent);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `body`, and any [`LockError`] from before or after it; see [`Lock`].
    fn run<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError;

    /// Like [`run`](Self::run), but returns `Ok(None)` if the lock is held elsewhere.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// match notification.lock().try_run(&mut conn, |n, conn| n.send(conn))? {
    ///     Some(sent) => println!("sent: {sent}"),
    ///     None => println!("another session is sending it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `run`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_run<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError;

    /// Acquires the lock, begins a transaction, reloads the model, runs `body`, commits, and
    /// releases the lock. The next holder sees all that `body` wrote, or nothing of it.
    ///
    /// Before the COMMIT the session proves, in one round trip, that it still holds the lock. If it
    /// does not, the transaction is rolled back, and [`LockError::Lost`] is returned. Lock and
    /// transaction end with the same session, so a transaction that commits has held its lock
    /// throughout.
    ///
    /// Once the COMMIT has succeeded, the value of `body` is returned, even if the release fails.
    /// The session is then ended, and with the feature `tracing` an event is emitted.
    ///
    /// On PostgreSQL, at READ COMMITTED, the transaction holds the lock, and COMMIT releases it. **A
    /// statement that fails there releases the lock at once**, since it aborts the transaction. Do
    /// not go on after such an error: nothing is committed, and the call returns an error, but
    /// other effects of `body` would not be exclusive.
    ///
    /// After a rollback the rows are as before, but the caller's model keeps the changes of `body`:
    /// reload it before you use it.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// notification.lock().transaction(&mut conn, |n, conn| {
    ///     n.message.push('!');
    ///     diesel::update(&*n).set(&*n).execute(conn)
    /// })?;
    /// # assert_eq!(notification.message, "Hello world!");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - The error of `body`, after a rollback, and any [`LockError`] from before or after it; see
    ///   [`Lock`].
    /// - [`LockError::CommitUnknown`] if the connection fails during the COMMIT. After any other
    ///   error the transaction has been rolled back or was not begun, unless `body` has ended it.
    fn transaction<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError;

    /// Like [`transaction`](Self::transaction), but returns `Ok(None)` if the lock is held
    /// elsewhere.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let changed = notification.lock().try_transaction(&mut conn, |n, conn| {
    ///     n.message.push('!');
    ///     diesel::update(&*n).set(&*n).execute(conn)
    /// })?;
    /// # assert_eq!(changed, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `transaction`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_transaction<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError;

    /// Acquires the lock, reloads the model, and returns a guard that derefs to the connection.
    ///
    /// The guard does not borrow the model. Dropping the guard releases the lock;
    /// [`LockGuard::release`] also returns an error if the lock was lost.
    ///
    /// **Under a guard the model is always reloaded**, here and by each further call that locks it
    /// on the guard. Unsaved changes are overwritten, so save them first. Only a closure that was
    /// given this model under this lock keeps its changes: the crate cannot know how long code under
    /// a guard uses the model.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let mut held = notification.lock().acquire(&mut conn)?;
    /// notification.send(&mut held)?; // reloaded just now, under the lock
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Any [`LockError`] that is returned before a closure runs; see [`Lock`].
    fn acquire<S>(self, conn: &mut S) -> Result<LockGuard<'_, S::Connection>, LockError>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>;

    /// Like [`acquire`](Self::acquire), but returns `Ok(None)` if the lock is held elsewhere.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// if let Some(mut held) = notification.lock().try_acquire(&mut conn)? {
    ///     notification.send(&mut held)?;
    ///     held.release()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `acquire`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_acquire<S>(
        self,
        conn: &mut S,
    ) -> Result<Option<LockGuard<'_, S::Connection>>, LockError>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>;

    /// Acquires the lock until the end of the transaction that is open on the connection, and
    /// reloads the model. COMMIT and ROLLBACK release the lock. Only on PostgreSQL; on another
    /// server the call does not compile.
    ///
    /// It is for code that is called inside a transaction, which the other methods refuse. Where
    /// you begin the transaction, use [`transaction`](Self::transaction).
    ///
    /// Like a guard, it gives the model to no closure: a further call that locks the model reloads
    /// it. A ROLLBACK TO a savepoint that is older than the lock releases the lock.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// use diesel_advisory_lock::prelude::*;
    ///
    /// # diesel::table! { accounts (id) { id -> Integer, balance -> BigInt, } }
    /// #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
    /// struct Account {
    ///     id: i32,
    ///     balance: i64,
    /// }
    ///
    /// # #[cfg(feature = "postgres")]
    /// /// Called inside a transaction.
    /// fn withdraw(account: &mut Account, conn: &mut PgConnection) -> QueryResult<usize> {
    ///     account.lock().until_commit(conn)?;
    ///     account.balance -= 30;
    ///     diesel::update(&*account).set(&*account).execute(conn)
    /// }
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// - [`LockError::NoTransaction`] if no transaction is open.
    /// - [`LockError::IsolationLevel`] above READ COMMITTED, where the transaction would read the
    ///   row as it was before the lock.
    /// - [`LockError::Deadlock`] if the transaction holds a lock that the holder waits for. The
    ///   server has aborted the transaction: roll it back.
    /// - As for [`acquire`](Self::acquire). After a `Timeout` the transaction is usable.
    fn until_commit<S>(self, conn: &mut S) -> Result<(), LockError>
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>;

    /// Like [`until_commit`](Self::until_commit), but returns `Ok(None)` if the lock is held
    /// elsewhere.
    ///
    /// ```no_run
    /// use diesel_advisory_lock::prelude::*;
    ///
    /// # #[cfg(feature = "postgres")]
    /// /// Called inside a transaction.
    /// fn is_mine(conn: &mut diesel::PgConnection) -> Result<bool, LockError> {
    ///     let acquired = LockName::named("report").lock().try_until_commit(conn)?;
    ///     Ok(acquired.is_some())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `until_commit`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_until_commit<S>(self, conn: &mut S) -> Result<Option<()>, LockError>
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>;
}

impl<L, M: Mode> LockDsl<L, M> for Lock<L, M> {
    fn run<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError,
    {
        let conn = conn.connection();
        let locks = ready(self.acquire_locks(conn, &self.deadline(), Transaction::No))?;
        let guard = LockGuard::new(conn, locks);
        guard::run(guard, self.set, Transaction::No, body)
    }

    fn try_run<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError,
    {
        let conn = conn.connection();
        let Some(locks) = or_none(ready(self.acquire_locks(
            conn,
            &self.try_deadline(),
            Transaction::No,
        )))?
        else {
            return Ok(None);
        };
        let guard = LockGuard::new(conn, locks);
        guard::run(guard, self.set, Transaction::No, body).map(Some)
    }

    fn transaction<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError,
    {
        let conn = conn.connection();
        let locks = ready(self.acquire_locks(conn, &self.deadline(), Transaction::Begin))?;
        let guard = LockGuard::new(conn, locks);
        guard::run(guard, self.set, Transaction::Begin, body)
    }

    fn try_transaction<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        E: FromLockError,
    {
        let conn = conn.connection();
        let Some(locks) = or_none(ready(self.acquire_locks(
            conn,
            &self.try_deadline(),
            Transaction::Begin,
        )))?
        else {
            return Ok(None);
        };
        let guard = LockGuard::new(conn, locks);
        guard::run(guard, self.set, Transaction::Begin, body).map(Some)
    }

    fn acquire<S>(mut self, conn: &mut S) -> Result<LockGuard<'_, S::Connection>, LockError>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
    {
        let conn = conn.connection();
        let locks = ready(self.acquire_locks(conn, &self.deadline(), Transaction::No))?;
        let mut guard = LockGuard::new(conn, locks);
        guard::reload(&mut guard, &mut self.set)?;
        Ok(guard)
    }

    fn try_acquire<S>(
        mut self,
        conn: &mut S,
    ) -> Result<Option<LockGuard<'_, S::Connection>>, LockError>
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
    {
        let conn = conn.connection();
        let Some(locks) = or_none(ready(self.acquire_locks(
            conn,
            &self.try_deadline(),
            Transaction::No,
        )))?
        else {
            return Ok(None);
        };
        let mut guard = LockGuard::new(conn, locks);
        guard::reload(&mut guard, &mut self.set)?;
        Ok(Some(guard))
    }

    fn until_commit<S>(self, conn: &mut S) -> Result<(), LockError>
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>,
    {
        let deadline = self.deadline();
        self.acquire_until_commit(conn.connection(), &deadline)
    }

    fn try_until_commit<S>(self, conn: &mut S) -> Result<Option<()>, LockError>
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>,
    {
        let deadline = self.try_deadline();
        or_none(self.acquire_until_commit(conn.connection(), &deadline))
    }
}

/// Turns the timeout of a `try_` method into `None`.
///
/// # Errors
///
/// Any other error.
pub fn or_none<T>(acquired: Result<T, LockError>) -> Result<Option<T>, LockError> {
    match acquired {
        Ok(acquired) => Ok(Some(acquired)),
        Err(LockError::Timeout { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
