//! [`LockError`]: why a lock could not be acquired, or was lost, and what to do about it.

use std::fmt;
use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::name::LockName;
use crate::session::Session;

/// Why a lock could not be acquired, or was lost.
///
/// Every message names the lock. [`outcome`](Self::outcome) says whether the closure ran and what
/// became of its work. [`is_retryable`](Self::is_retryable) says whether the call may be repeated.
///
/// The error type of a closure must implement `From<LockError>`. Diesel's own
/// [`Error`](diesel::result::Error) does, so a closure may return `QueryResult`.
/// [`LockError::in_diesel`] finds the lock error in a Diesel error, and `LockError::try_from` takes
/// it out.
///
/// | variant | the closure | its work |
/// |---|---|---|
/// | `Timeout`, `Deadlock`, `Interrupted`, `Pool` | did not run | |
/// | `OpenTransaction`, `InvalidName` | did not run | |
/// | `SharedHeld`, `IsolationLevel`, `NoTransaction` | did not run | |
/// | `RowNotFound`, `KeyMismatch` | did not run | |
/// | `TransactionLeftOpen` | ran | what was left open is rolled back |
/// | `Lost` | ran | rolled back from a `.transaction` form, else done: `outcome` |
/// | `CommitUnknown` | ran | committed or rolled back |
/// | `Database` | `outcome` | `outcome` |
///
/// ```
/// # include!("doctest_setup.rs");
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// let other = &mut establish_connection();
/// let held = LockName::named("job").lock().acquire(other)?;
/// match LockName::named("job").lock().no_wait().acquire(&mut conn) {
///     Err(LockError::Timeout { name, holder, .. }) => println!("{name}: {holder:?}"),
/// #   Ok(_) => panic!("it is held"),
///     other => drop(other?),
/// }
/// held.release()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The lock was held elsewhere for the whole timeout. `cause` says where.
    #[error(
        "lock `{name}` was not free within {waited:?}: {}",
        cause.explain(holder.as_deref())
    )]
    #[non_exhaustive]
    Timeout {
        /// The lock.
        name: LockName,
        /// How long the call waited, measured in this process.
        waited: Duration,
        /// The session that held the lock just after the timeout, as the server reports it. `None`
        /// if the lock was free by then, if the server did not answer within a second, or if the
        /// call waited in the queue of a `LockPool`.
        holder: Option<Box<Session>>,
        /// What the call waited for.
        cause: TimeoutCause,
    },

    /// The wait would never have ended: the holder waits for a lock that this session holds. The
    /// locks and the transaction of this session are untouched.
    ///
    /// The servers follow a chain of waiting sessions for up to 32 sessions, and report a longer
    /// chain as a deadlock too. They do not detect a cycle that includes a row lock, which ends
    /// with the timeout.
    #[error(
        "lock `{name}` would deadlock: {} holds it and waits for a lock of this session; \
         release your locks and try again, and acquire several locks in the same order everywhere, \
         as `lock_all` does",
        describe_holder(holder.as_deref())
    )]
    #[non_exhaustive]
    Deadlock {
        /// The lock.
        name: LockName,
        /// The session that held the lock just after the error; see `Timeout`.
        holder: Option<Box<Session>>,
        /// The server's error.
        source: DieselError,
    },

    /// The server ended the wait: `KILL QUERY`, or a shutdown. The lock is not held.
    ///
    /// If the killed statement was the one before the wait, the session has been ended and the
    /// connection is marked as broken.
    #[error(
        "waiting for lock `{name}` was interrupted by the server (`KILL QUERY`, or a shutdown); \
         it was not acquired, try again if you still need it"
    )]
    #[non_exhaustive]
    Interrupted {
        /// The lock.
        name: LockName,
        /// The server's error. MariaDB returns NULL instead of an error.
        source: Option<DieselError>,
    },

    /// A transaction is open on the connection, and the session does not hold the lock yet.
    ///
    /// The lock would be released before that transaction commits, and the transaction's snapshot
    /// may predate the lock.
    ///
    /// Diesel's `begin_test_transaction` is the exception. `conn.test_transaction(..)` is refused,
    /// since it runs its closure in an ordinary transaction. MySQL does not report a raw `BEGIN`.
    #[error("lock `{name}` was refused: {reason}")]
    #[non_exhaustive]
    OpenTransaction {
        /// The lock.
        name: LockName,
        /// Which transaction, or which setting that opens one.
        reason: OpenTransactionReason,
    },

    /// The session holds the lock shared, and asked for it exclusively. Two sessions that both do
    /// this would wait for each other. PostgreSQL only.
    #[error(
        "lock `{name}` is held shared by this session, which cannot also hold it exclusively: two \
         sessions that do this would deadlock; release the shared lock first, or lock exclusively \
         from the start"
    )]
    #[non_exhaustive]
    SharedHeld {
        /// The lock.
        name: LockName,
    },

    /// `until_commit` was called in a transaction above READ COMMITTED, which would read the row as
    /// it was before the lock. PostgreSQL only.
    #[error(
        "lock `{name}` was refused: the open transaction is {level}, so it would read the row as \
         it was before the lock; use READ COMMITTED, or acquire the lock before the transaction, \
         as `.lock().transaction(conn, ..)` does"
    )]
    #[non_exhaustive]
    IsolationLevel {
        /// The lock.
        name: LockName,
        /// The isolation level of the open transaction.
        level: &'static str,
    },

    /// `until_commit` was called without an open transaction, so the lock would be released at
    /// once. PostgreSQL only.
    #[error(
        "lock `{name}` was refused: no transaction is open, so the lock would be released at once; \
         use `.lock().transaction(conn, ..)`, which begins one, or `.lock().run(conn, ..)`"
    )]
    #[non_exhaustive]
    NoTransaction {
        /// The lock.
        name: LockName,
    },

    /// The closure returned, or the guard was released, while a transaction was open that had been
    /// begun under the lock. It was rolled back.
    ///
    /// Also returned if the closure leaves the session with `autocommit = 0`, or with a
    /// `completion_type` other than `NO_CHAIN`. On MariaDB it is also returned for a transaction
    /// begun by a raw `BEGIN`, which MySQL does not report.
    ///
    /// What the closure did before that transaction began is not rolled back.
    #[error(
        "a transaction begun under lock `{name}` was left open, and has been rolled back; \
         commit it before the lock ends, or use `.lock().transaction(conn, ..)`"
    )]
    #[non_exhaustive]
    TransactionLeftOpen {
        /// The lock.
        name: LockName,
    },

    /// The server did not confirm that the session still held the lock, so another session may have
    /// held it meanwhile. The session has been ended and the connection is marked as broken, so
    /// that a pool discards it.
    ///
    /// A `.transaction(..)` form detects this before the COMMIT, and rolls back. After a COMMIT
    /// that succeeded, the closure's value is returned instead of this error.
    #[error(
        "lock `{name}` was lost while it was held: the server does not confirm it; {}",
        match outcome {
            Outcome::RolledBack => "the transaction has been rolled back, try again",
            _ => "check the work that was done under it, which may not have been exclusive",
        }
    )]
    #[non_exhaustive]
    Lost {
        /// The lock.
        name: LockName,
        /// Why the server did not answer. `None` if it answered that the session does not hold the
        /// lock.
        source: Option<DieselError>,
        /// What became of the work.
        outcome: Outcome,
    },

    /// The connection failed during COMMIT, so it is unknown whether the server has committed. The
    /// session has been ended and the connection is marked as broken.
    #[error(
        "the connection failed during the COMMIT under lock `{name}`, so the work may be committed \
         or rolled back; read the data on another connection before you repeat the call"
    )]
    #[non_exhaustive]
    CommitUnknown {
        /// The lock.
        name: LockName,
        /// The error as Diesel reports it.
        source: DieselError,
    },

    /// There is no row with the model's key: it was deleted, or never inserted. The closure did not
    /// run, and the caller's model is unchanged.
    #[error(
        "there is no row for lock `{name}`: it was deleted, or never inserted; \
         insert a model before you lock it"
    )]
    #[non_exhaustive]
    RowNotFound {
        /// The lock.
        name: LockName,
    },

    /// The reloaded row has a different lock from the one acquired. The closure did not run,
    /// and the caller's model is unchanged.
    ///
    /// Either the model's key is not spelled as it is stored, or its `primary_key(..)` is not the
    /// table's. A case-insensitive collation finds the row `Alice` by the key `alice`: two callers
    /// would hold two different locks for one row.
    #[error(
        "lock `{name}` is not the lock of the row that its key finds, which is `{row}`: spell the \
         key as the column stores it, as a loaded model does, and give the model the table's own \
         `primary_key(..)`, in its order"
    )]
    #[non_exhaustive]
    KeyMismatch {
        /// The lock that was acquired.
        name: LockName,
        /// The lock of the row, without a scope.
        row: Box<LockName>,
    },

    /// A server would refuse the name, truncate it, or treat it as equal to another name.
    #[error("{name:?} cannot be used: {reason}")]
    #[non_exhaustive]
    InvalidName {
        /// The name. It is never sent to a server.
        name: LockName,
        /// What is wrong with the name, and what to write instead.
        reason: &'static str,
    },

    /// The pool returned no connection in time: all are in use, or the server cannot be reached.
    ///
    /// A call that does not wait (a `try_` form, `.no_wait()`) returns this at once if the pool is
    /// at its maximum size and all connections are in use. Otherwise it waits for the connection
    /// that the pool establishes.
    #[error(
        "the pool returned no connection for lock `{name}`; see the source of this error; if all \
         connections were in use, enlarge the pool, or acquire the lock through a `LockPool`, \
         whose requests wait without a connection"
    )]
    #[non_exhaustive]
    Pool {
        /// The lock.
        name: LockName,
        /// The pool's own error, or that the request ahead of this one in a `LockPool` still waits
        /// for a connection.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Any other database error while locking, reloading, or in `BEGIN` and `COMMIT`.
    ///
    /// With the source `NotInTransaction` and [`Outcome::Unknown`], the closure of a `.transaction`
    /// form has ended the transaction.
    ///
    /// With the source `BrokenTransactionManager`, the connection was marked as broken before the
    /// call, by Diesel or by an earlier lock: use another connection.
    #[error(
        "a database error occurred while working with lock `{name}`; see the source of this error"
    )]
    #[non_exhaustive]
    Database {
        /// The lock.
        name: LockName,
        /// The error as Diesel reports it.
        source: DieselError,
        /// What became of the work.
        outcome: Outcome,
    },
}

/// Whether the closure ran, and what became of its work: the result of [`LockError::outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The closure did not run.
    NothingHappened,
    /// The closure ran, and its transaction has been rolled back.
    RolledBack,
    /// The closure ran outside of a transaction of the lock. What it did before it ended stays in
    /// effect.
    Ran,
    /// The closure ran, and its work is committed.
    ///
    /// No call returns this at present: after a COMMIT that succeeded, the closure's value is
    /// returned.
    Committed,
    /// The closure ran, and its work is committed or rolled back.
    Unknown,
}

/// What a call waited for: the `cause` of [`LockError::Timeout`].
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::TimeoutCause;
///
/// # fn main() -> TestResult {
/// let locks = LockPool::new(pool()?);
/// let job = LockName::named("job");
/// let inner = locks.run(job.lock(), |_, _conn| {
///     // Not on `_conn`, so this call would wait for the closure that it is in.
///     Ok::<_, LockError>(locks.acquire(job.lock()).map(drop))
/// })?;
/// assert!(matches!(
///     inner,
///     Err(LockError::Timeout { cause: TimeoutCause::EnclosingCall, .. })
/// ));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutCause {
    /// Another session on the server.
    Session,
    /// Another request in the same `LockPool`.
    Queue,
    /// The closure that made the call: it holds this lock on another connection of the same thread,
    /// so the call would wait for itself.
    EnclosingCall,
}

impl TimeoutCause {
    fn explain(self, holder: Option<&Session>) -> String {
        let advice = "try again later, wait longer with `.timeout(..)`, or use a `try_` form to \
                      continue without the lock";
        match self {
            TimeoutCause::Session => format!("{} holds it; {advice}", describe_holder(holder)),
            TimeoutCause::Queue => {
                format!("another request in the same `LockPool` holds it; {advice}")
            }
            TimeoutCause::EnclosingCall => {
                "this call was made in a closure that runs under a lock of this name on another \
                 connection, and would wait for itself; use the closure's connection"
                    .to_owned()
            }
        }
    }
}

/// Which transaction is open: the `reason` of [`LockError::OpenTransaction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenTransactionReason {
    /// A transaction that Diesel began, also by `conn.test_transaction(..)`. A
    /// `begin_test_transaction` does not count.
    Diesel,
    /// The session has `autocommit = 0`: each statement opens a transaction.
    NoAutocommit,
    /// The session's `completion_type` is not `NO_CHAIN`: each COMMIT opens the next transaction,
    /// or ends the session.
    CompletionType,
    /// A `BEGIN` as raw SQL. Only MariaDB reports it.
    RawBegin,
}

impl fmt::Display for OpenTransactionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenTransactionReason::Diesel => {
                "a transaction is open on the connection and would outlive the lock; acquire the \
                 lock first, as `.lock().transaction(conn, ..)` does"
            }
            OpenTransactionReason::NoAutocommit => {
                "the session has `autocommit = 0`, so the lock would be released before the \
                 COMMIT; run `SET autocommit = 1`, and use `.lock().transaction(conn, ..)`"
            }
            OpenTransactionReason::CompletionType => {
                "the session's `completion_type` is not `NO_CHAIN`, so every COMMIT begins another \
                 transaction, or ends the session; run `SET completion_type = 'NO_CHAIN'`"
            }
            OpenTransactionReason::RawBegin => {
                "a transaction that was begun by raw SQL is open on the connection and would \
                 outlive the lock; acquire the lock first, as `.lock().transaction(conn, ..)` does"
            }
        })
    }
}

impl LockError {
    /// Returns the name of the lock.
    pub fn name(&self) -> &LockName {
        match self {
            LockError::Timeout { name, .. }
            | LockError::Deadlock { name, .. }
            | LockError::Interrupted { name, .. }
            | LockError::OpenTransaction { name, .. }
            | LockError::SharedHeld { name }
            | LockError::IsolationLevel { name, .. }
            | LockError::NoTransaction { name }
            | LockError::TransactionLeftOpen { name, .. }
            | LockError::Lost { name, .. }
            | LockError::CommitUnknown { name, .. }
            | LockError::RowNotFound { name, .. }
            | LockError::KeyMismatch { name, .. }
            | LockError::InvalidName { name, .. }
            | LockError::Pool { name, .. }
            | LockError::Database { name, .. } => name,
        }
    }

    /// Returns whether the closure of the failed call ran, and what became of its work.
    ///
    /// If a closure returns the error of a nested call, the outcome is that of the nested call, not
    /// of the enclosing one.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// use diesel_advisory_lock::Outcome;
    ///
    /// # fn main() -> TestResult {
    /// # let mut conn = establish_connection();
    /// # let other = &mut establish_connection();
    /// # let held = LockName::named("job").lock().acquire(other)?;
    /// let job = LockName::named("job");
    /// let error = job.lock().no_wait().run(&mut conn, |_, _| Ok::<_, LockError>(())).unwrap_err();
    /// match error.outcome() {
    ///     Outcome::NothingHappened | Outcome::RolledBack => println!("nothing has changed"),
    ///     Outcome::Committed => println!("done"),
    ///     Outcome::Ran | Outcome::Unknown => println!("check the data"),
    ///     _ => {}
    /// }
    /// # assert_eq!(error.outcome(), Outcome::NothingHappened);
    /// # Ok(())
    /// # }
    /// ```
    pub fn outcome(&self) -> Outcome {
        match self {
            LockError::Timeout { .. }
            | LockError::Deadlock { .. }
            | LockError::Interrupted { .. }
            | LockError::OpenTransaction { .. }
            | LockError::SharedHeld { .. }
            | LockError::IsolationLevel { .. }
            | LockError::NoTransaction { .. }
            | LockError::RowNotFound { .. }
            | LockError::KeyMismatch { .. }
            | LockError::InvalidName { .. }
            | LockError::Pool { .. } => Outcome::NothingHappened,
            LockError::TransactionLeftOpen { .. } => Outcome::RolledBack,
            LockError::CommitUnknown { .. } => Outcome::Unknown,
            LockError::Lost { outcome, .. } | LockError::Database { outcome, .. } => *outcome,
        }
    }

    /// Returns whether the lock was held elsewhere: [`Timeout`](Self::Timeout) and
    /// [`Deadlock`](Self::Deadlock).
    pub fn is_contended(&self) -> bool {
        matches!(self, LockError::Timeout { .. } | LockError::Deadlock { .. })
    }

    /// Returns whether the call may be repeated: it has changed nothing, and the cause may be
    /// temporary.
    ///
    /// Repeat it on another connection if this one is marked as broken, as it is after `Lost`.
    pub fn is_retryable(&self) -> bool {
        match self {
            LockError::Timeout { cause, .. } => *cause != TimeoutCause::EnclosingCall,
            LockError::Deadlock { .. } | LockError::Interrupted { .. } | LockError::Pool { .. } => {
                true
            }
            LockError::Lost { outcome, .. } | LockError::Database { outcome, .. } => {
                matches!(outcome, Outcome::NothingHappened | Outcome::RolledBack)
            }
            LockError::OpenTransaction { .. }
            | LockError::SharedHeld { .. }
            | LockError::IsolationLevel { .. }
            | LockError::NoTransaction { .. }
            | LockError::TransactionLeftOpen { .. }
            | LockError::CommitUnknown { .. }
            | LockError::RowNotFound { .. }
            | LockError::KeyMismatch { .. }
            | LockError::InvalidName { .. } => false,
        }
    }

    /// Returns the session that held the lock, for a `Timeout` or a `Deadlock`, if the server
    /// reported it; see [`Session`](crate::inspect::Session).
    pub fn holder(&self) -> Option<&Session> {
        match self {
            LockError::Timeout { holder, .. } | LockError::Deadlock { holder, .. } => {
                holder.as_deref()
            }
            _ => None,
        }
    }

    /// Returns the lock error inside a Diesel error, where `?` in a function that returns
    /// `QueryResult` has put it.
    ///
    /// ```
    /// use diesel_advisory_lock::{LockError, LockName};
    ///
    /// let refused = LockName::exact("").unwrap_err();
    /// let error = diesel::result::Error::from(refused);
    /// assert!(matches!(LockError::in_diesel(&error), Some(LockError::InvalidName { .. })));
    /// ```
    pub fn in_diesel(error: &DieselError) -> Option<&LockError> {
        match error {
            DieselError::QueryBuilderError(boxed) => boxed.downcast_ref(),
            _ => None,
        }
    }

    /// A database error from before the closure ran.
    pub(crate) fn before(name: &LockName, source: DieselError) -> Self {
        LockError::Database {
            name: name.clone(),
            source,
            outcome: Outcome::NothingHappened,
        }
    }
}

fn describe_holder(holder: Option<&Session>) -> String {
    match holder {
        Some(session) => session.to_string(),
        None => "another session".to_owned(),
    }
}

/// Boxes the error as [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), Diesel's
/// variant for foreign errors. `LockError::try_from` and [`LockError::in_diesel`] reverse this.
impl From<LockError> for DieselError {
    fn from(error: LockError) -> Self {
        DieselError::QueryBuilderError(Box::new(error))
    }
}

/// Takes the lock error out of a Diesel error. Any other error is returned unchanged.
///
/// ```
/// use diesel_advisory_lock::{LockError, LockName};
///
/// let error = diesel::result::Error::from(LockName::exact("").unwrap_err());
/// assert!(matches!(LockError::try_from(error), Ok(LockError::InvalidName { .. })));
/// let error = LockError::try_from(diesel::result::Error::NotFound);
/// assert!(matches!(error, Err(diesel::result::Error::NotFound)));
/// ```
impl TryFrom<DieselError> for LockError {
    type Error = DieselError;

    fn try_from(error: DieselError) -> Result<Self, DieselError> {
        match error {
            DieselError::QueryBuilderError(boxed) => boxed
                .downcast::<LockError>()
                .map(|error| *error)
                .map_err(DieselError::QueryBuilderError),
            other => Err(other),
        }
    }
}

/// The error of a closure that runs under a lock: anything with `From<LockError>`.
///
/// It is implemented for all such types, and exists so that the compiler can say what is missing.
///
/// ```
/// # include!("doctest_setup.rs");
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// #[derive(Debug, thiserror::Error)]
/// enum JobError {
///     #[error(transparent)]
///     Lock(#[from] LockError),
///     #[error("nothing to do")]
///     Idle,
/// }
///
/// let job = LockName::named("job");
/// let done: Result<(), _> = job.lock().run(&mut conn, |_, _| Err(JobError::Idle));
/// assert!(matches!(done, Err(JobError::Idle)));
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a closure that runs under a lock",
    label = "`{Self}` does not implement `From<LockError>`",
    note = "implement `From<diesel_advisory_lock::LockError>` for `{Self}`; with thiserror, add \
            the variant `#[error(transparent)] Lock(#[from] LockError)`"
)]
pub trait FromLockError: From<LockError> {}

#[diagnostic::do_not_recommend]
impl<E: From<LockError>> FromLockError for E {}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::time::Duration;

    use super::{
        DieselError, LockError, LockName, OpenTransactionReason, Outcome, Session, TimeoutCause,
    };

    fn every_error() -> Vec<LockError> {
        let name = || LockName::named("job");
        let source = || DieselError::RollbackTransaction;
        vec![
            LockError::Timeout {
                name: name(),
                waited: Duration::from_millis(300),
                holder: Some(Box::new(Session::new(42, None))),
                cause: TimeoutCause::Session,
            },
            LockError::Deadlock {
                name: name(),
                holder: None,
                source: source(),
            },
            LockError::Interrupted {
                name: name(),
                source: Some(source()),
            },
            LockError::OpenTransaction {
                name: name(),
                reason: OpenTransactionReason::Diesel,
            },
            LockError::TransactionLeftOpen { name: name() },
            LockError::Lost {
                name: name(),
                source: Some(source()),
                outcome: Outcome::Ran,
            },
            LockError::CommitUnknown {
                name: name(),
                source: source(),
            },
            LockError::RowNotFound { name: name() },
            LockError::KeyMismatch {
                name: name(),
                row: Box::new(LockName::named("Job")),
            },
            LockError::Pool {
                name: name(),
                source: Box::new(source()),
            },
            LockError::InvalidName {
                name: name(),
                reason: "it is a test",
            },
            LockError::Database {
                name: name(),
                source: source(),
                outcome: Outcome::Committed,
            },
        ]
    }

    #[test]
    fn every_message_names_the_lock() {
        for error in every_error() {
            assert!(error.to_string().contains("=job"), "{error}");
            assert_eq!(error.name(), &LockName::named("job"));
        }
    }

    #[test]
    fn errors_keep_their_sources() {
        let with_source = every_error()
            .iter()
            .filter(|error| {
                let source = error.source().and_then(|source| source.downcast_ref());
                source == Some(&DieselError::RollbackTransaction)
            })
            .count();
        assert_eq!(with_source, 6);
    }

    #[test]
    fn a_timeout_message_has_the_time_waited() {
        assert!(every_error()[0].to_string().contains("300ms"));
    }

    #[test]
    fn a_timeout_names_the_holder() {
        assert_eq!(every_error()[0].holder(), Some(&Session::new(42, None)));
        let known = every_error()[0].to_string();
        assert!(known.contains("connection 42 holds it"), "{known}");
        let unknown = every_error()[1].to_string();
        assert!(unknown.contains("another session holds it"), "{unknown}");
    }

    #[test]
    fn a_timeout_in_an_enclosing_call_names_no_other_session() {
        let error = LockError::Timeout {
            name: LockName::named("job"),
            waited: Duration::ZERO,
            holder: None,
            cause: TimeoutCause::EnclosingCall,
        };
        let text = error.to_string();
        assert!(text.contains("wait for itself"), "{text}");
        assert!(!text.contains("another session"), "{text}");
        assert!(error.is_contended() && !error.is_retryable());
    }

    #[test]
    fn a_retryable_error_has_left_nothing_behind() {
        for error in every_error() {
            let is_clean = matches!(
                error.outcome(),
                Outcome::NothingHappened | Outcome::RolledBack
            );
            assert!(!error.is_retryable() || is_clean, "{error}");
        }
    }

    #[test]
    fn try_from_takes_the_lock_error_out_of_a_diesel_error() {
        let error = DieselError::from(LockError::RowNotFound {
            name: LockName::named("job"),
        });
        assert!(matches!(
            LockError::try_from(error),
            Ok(LockError::RowNotFound { .. })
        ));
        let other = LockError::try_from(DieselError::NotFound);
        assert!(matches!(other, Err(DieselError::NotFound)));
        let other = LockError::try_from(DieselError::QueryBuilderError("other".into()));
        assert!(matches!(other, Err(DieselError::QueryBuilderError(_))));
    }

    #[test]
    fn in_diesel_finds_the_lock_error_in_a_diesel_error() {
        let error = DieselError::from(LockError::RowNotFound {
            name: LockName::named("job"),
        });
        assert!(matches!(
            LockError::in_diesel(&error),
            Some(LockError::RowNotFound { .. })
        ));
        assert!(LockError::in_diesel(&DieselError::NotFound).is_none());
        assert!(error.to_string().contains("=job"), "{error}");
    }

    #[test]
    fn errors_and_names_are_send_and_sync() {
        fn is_send_and_sync<T: Send + Sync + 'static>() {}
        is_send_and_sync::<LockError>();
        is_send_and_sync::<LockName>();
    }
}
