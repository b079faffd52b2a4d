//! [`LockError`]: everything that can go wrong, each with what to do about it.

use std::fmt;
use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::holder::Session;
use crate::name::LockName;

/// Why a lock could not be acquired, or was lost.
///
/// Every message names the lock. [`outcome`](Self::outcome) says whether the closure ran and what
/// became of its work, [`is_retryable`](Self::is_retryable) whether the call may be repeated as it
/// is.
///
/// A closure's error type takes it by `From<LockError>`; Diesel's own
/// [`Error`](diesel::result::Error) does, so a closure that returns `QueryResult` works.
/// [`LockError::in_diesel`] finds it there, and `LockError::try_from` takes it out as a value.
///
/// | variant | the closure | its work |
/// |---|---|---|
/// | `Timeout`, `Deadlock`, `Interrupted`, `Pool` | did not run | |
/// | `OpenTransaction`, `InvalidName` | did not run | |
/// | `RowNotFound`, `KeyMismatch` | did not run | |
/// | `TransactionLeftOpen` | ran | what was left open is rolled back |
/// | `Lost` | ran | rolled back from a `.transaction` form, else done: `outcome` |
/// | `CommitUnknown` | ran | committed or rolled back |
/// | `Database` | `outcome` | `outcome` |
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let other = &mut establish_connection();
/// let held = LockName::named("job").lock().acquire(other)?;
/// match LockName::named("job").lock().no_wait().acquire(&mut conn) {
///     Err(LockError::Timeout { name, holder, .. }) => println!("{name}: {holder:?}"),
/// #   Ok(_) => panic!("it is taken"),
///     other => drop(other?),
/// }
/// held.release()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The lock was held elsewhere for as long as the call was ready to wait. `cause` says where.
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
        /// The session that held the lock just after that, as the server reports it. `None` if no
        /// session did any more, if the server did not answer within a second, or if the call
        /// waited for its turn in a `LockPool`.
        holder: Option<Box<Session>>,
        /// What the call waited for.
        cause: TimeoutCause,
    },

    /// Waiting would never have ended: the holder waits for a lock that this session holds. The
    /// locks and the transaction that this session has are untouched.
    ///
    /// The servers look no further than 32 sessions along a chain, each of which waits for the next, and
    /// call a longer one a deadlock too. A circle that goes through a row lock they do not see: that
    /// ends with the timeout.
    #[error(
        "lock `{name}` would deadlock: {} holds it and waits for a lock of this session; release what you hold and try again, and take several locks in one order everywhere",
        describe_holder(holder.as_deref())
    )]
    #[non_exhaustive]
    Deadlock {
        /// The lock.
        name: LockName,
        /// The session that held the lock just after that, as the server reports it; see `Timeout`.
        holder: Option<Box<Session>>,
        /// What the server answered.
        source: DieselError,
    },

    /// The wait was ended from outside: `KILL QUERY`, or a server that is stopping. The lock is not held.
    /// If the killed statement was not the waiting one but the one before it, the session has been
    /// ended and the connection marked as broken.
    #[error(
        "waiting for lock `{name}` was interrupted by the server (`KILL QUERY`, or a shutdown); it was not acquired, try again if you still want it"
    )]
    #[non_exhaustive]
    Interrupted {
        /// The lock.
        name: LockName,
        /// What the server answered; MariaDB answers NULL rather than an error.
        source: Option<DieselError>,
    },

    /// A transaction is open on the connection, and this session does not hold the lock yet. The
    /// lock would be released before that transaction commits, and what the transaction reads may
    /// be older than the lock.
    ///
    /// Diesel's `begin_test_transaction` is the exception; `conn.test_transaction(..)` is refused,
    /// since it runs its closure in an ordinary transaction. A `BEGIN` as raw SQL is invisible on
    /// MySQL.
    #[error("lock `{name}` was refused: {reason}")]
    #[non_exhaustive]
    OpenTransaction {
        /// The lock.
        name: LockName,
        /// Which transaction, or which setting that opens one.
        reason: OpenTransactionReason,
    },

    /// The closure returned, or the guard was released, with a transaction open that had not been
    /// open before. It was rolled back.
    ///
    /// Also returned if the closure leaves the session with `autocommit = 0`, with a
    /// `completion_type` other than `NO_CHAIN`, or, on MariaDB, in a transaction begun by a raw
    /// `BEGIN`. On MySQL a raw `BEGIN` is invisible.
    ///
    /// What the closure did before that transaction began, outside of one, is done.
    #[error(
        "a transaction begun under lock `{name}` was left open, and has been rolled back; commit it before the lock ends, or use `.lock().transaction(conn, ..)`"
    )]
    #[non_exhaustive]
    TransactionLeftOpen {
        /// The lock.
        name: LockName,
    },

    /// The server did not confirm that the session still held the lock, so another session may
    /// have held it meanwhile. The session has been ended, and the connection marked as broken: a pool discards it.
    ///
    /// A `.transaction(..)` form finds this out before the COMMIT, and rolls back. After a COMMIT
    /// that succeeded it is never returned: the closure's value is, the session is ended, and a
    /// `tracing` event is emitted.
    #[error(
        "lock `{name}` was lost while it was held: the server does not confirm it; {}",
        match outcome {
            Outcome::RolledBack => "the transaction has been rolled back, try again",
            _ => "what was done under it outside of a transaction may not have been exclusive, check it",
        }
    )]
    #[non_exhaustive]
    Lost {
        /// The lock.
        name: LockName,
        /// Why the server could not be asked. `None` if it answered that the session does not hold
        /// the lock.
        source: Option<DieselError>,
        /// What became of the work.
        outcome: Outcome,
    },

    /// The connection failed during COMMIT: the server may have committed or not. The session has been ended, and the
    /// connection marked as broken.
    #[error(
        "the connection failed while the work under lock `{name}` was being committed: it is committed or rolled back, which only the database can tell; read it on another connection before you repeat it"
    )]
    #[non_exhaustive]
    CommitUnknown {
        /// The lock.
        name: LockName,
        /// The error as Diesel reports it.
        source: DieselError,
    },

    /// There is no row with the model's key: it was deleted, or never inserted. The closure did not
    /// run, and the caller's model is as it was.
    #[error(
        "there is no row for lock `{name}`: it was deleted, or never inserted; a model is locked after it has been inserted"
    )]
    #[non_exhaustive]
    RowNotFound {
        /// The lock.
        name: LockName,
    },

    /// The reloaded row has another lock than the one that was acquired. The closure did not run,
    /// and the caller's model is as it was.
    ///
    /// Either the model's key is not spelled as it is stored, or its `primary_key(..)` is not the
    /// table's. A case-insensitive collation finds the row `Alice` by the key `alice`: two callers
    /// would each hold a lock, and not the same one.
    #[error(
        "lock `{name}` is not the lock of the row that its key finds, which is `{row}`: spell the key as the column stores it, as a loaded model does, and give the model the table's own `primary_key(..)`, in its order"
    )]
    #[non_exhaustive]
    KeyMismatch {
        /// The lock that was acquired.
        name: LockName,
        /// The lock of the row, without a scope.
        row: Box<LockName>,
    },

    /// The servers would refuse the name, cut it, or take it for another one.
    #[error("{name:?} cannot be used: {reason}")]
    #[non_exhaustive]
    InvalidName {
        /// The name, which no server will be asked for.
        name: LockName,
        /// What is wrong with it and what to write.
        reason: &'static str,
    },

    /// The pool gave no connection in time: all are in use, or the server cannot be reached.
    ///
    /// A call that does not wait (a `try_` form, `.no_wait()`) returns this at once if all
    /// connections are in use and the pool has its full size. It waits for a connection that the
    /// pool still has to establish.
    #[error(
        "the pool had no connection to ask for lock `{name}`; its error says why; if all were in use, make it larger, or queue for locks without a connection by a `LockPool`"
    )]
    #[non_exhaustive]
    Pool {
        /// The lock.
        name: LockName,
        /// The pool's own error, or that the request in front of this one in a `LockPool` still
        /// waits for a connection.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Any other database error while locking, reloading, or in `BEGIN` and `COMMIT`.
    ///
    /// With `NotInTransaction` as its source and [`Outcome::Unknown`], the closure of a
    /// `.transaction` form has ended the transaction by itself.
    ///
    /// With `BrokenTransactionManager` as its source the connection was marked as broken before, by
    /// Diesel or by an earlier lock: take another connection.
    #[error("the database failed while working with lock `{name}`; the error's source says how")]
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

/// Whether the closure ran, and what became of its work.
///
/// ```
/// use diesel_advisory_lock::{LockName, Outcome};
///
/// let error = LockName::exact("").unwrap_err();
/// assert_eq!(error.outcome(), Outcome::NothingHappened);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The closure did not run.
    NothingHappened,
    /// The closure ran, and its transaction has been rolled back.
    RolledBack,
    /// The closure ran outside of a transaction of the lock: what it did is done, as far as it got.
    Ran,
    /// The closure ran, and its work is committed.
    ///
    /// No call returns this at present: after a COMMIT that succeeded, the closure's value is
    /// returned.
    Committed,
    /// The closure ran, and its work is committed or rolled back.
    Unknown,
}

/// What a call waited for in vain: the `cause` of [`LockError::Timeout`].
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::TimeoutCause;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let locks = LockPool::new(pool()?);
/// let job = LockName::named("job");
/// let inner = locks.run(job.lock(), |_, _conn| {
///     // Not through `_conn`, so this would wait for the closure that it is in.
///     Ok::<_, LockError>(locks.acquire(job.lock()).map(drop))
/// })?;
/// let is_own = matches!(inner, Err(LockError::Timeout { cause: TimeoutCause::EnclosingCall, .. }));
/// assert!(is_own);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutCause {
    /// Another session on the server.
    Session,
    /// Another request in the same `LockPool`, which had the lock's turn.
    Queue,
    /// A closure on this thread, which runs under a lock of this name on another connection, and which the call was made
    /// in: it would have waited for itself.
    EnclosingCall,
}

impl TimeoutCause {
    fn explain(self, holder: Option<&Session>) -> String {
        let advice = "try again later, wait longer with `.timeout(..)`, or use a `try_` form to go on without it";
        match self {
            TimeoutCause::Session => format!("{} holds it; {advice}", describe_holder(holder)),
            TimeoutCause::Queue => {
                format!("another request of this process in the `LockPool` has it; {advice}")
            }
            TimeoutCause::EnclosingCall => {
                "this call was made in a closure that runs under a lock of this name on another connection, and would \
                 wait for itself; use the connection that the closure is given"
                    .to_owned()
            }
        }
    }
}

/// Which transaction is open: the `reason` of [`LockError::OpenTransaction`].
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::OpenTransactionReason;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// conn.batch_execute("SET autocommit = 0")?;
/// let refused = LockName::named("job").lock().acquire(&mut conn).map(drop);
/// assert!(matches!(
///     refused,
///     Err(LockError::OpenTransaction { reason: OpenTransactionReason::NoAutocommit, .. })
/// ));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenTransactionReason {
    /// One that Diesel began, `conn.test_transaction(..)` among them. `begin_test_transaction` does
    /// not count.
    Diesel,
    /// The session has `autocommit = 0`: each statement opens one.
    NoAutocommit,
    /// The session's `completion_type` is not `NO_CHAIN`: each COMMIT opens the next one, or ends the session.
    CompletionType,
    /// A `BEGIN` as raw SQL. MariaDB reports it. On MySQL it is invisible, and this is never
    /// returned.
    RawBegin,
}

impl fmt::Display for OpenTransactionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenTransactionReason::Diesel => {
                "a transaction is open on the connection and would outlive it; take the lock first, as \
                 `.lock().transaction(conn, ..)` does"
            }
            OpenTransactionReason::NoAutocommit => {
                "the session has `autocommit = 0`, so the lock would be released before the COMMIT; \
                 `SET autocommit = 1`, and use `.lock().transaction(conn, ..)`"
            }
            OpenTransactionReason::CompletionType => {
                "the session's `completion_type` is not `NO_CHAIN`, so every COMMIT begins another transaction, or ends \
                 the session; `SET completion_type = 'NO_CHAIN'`"
            }
            OpenTransactionReason::RawBegin => {
                "a transaction is open on the connection that was begun by raw SQL, and it would outlive the lock; take \
                 the lock first, as `.lock().transaction(conn, ..)` does"
            }
        })
    }
}

impl LockError {
    /// The lock that this is about.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let error = LockName::exact("").unwrap_err();
    /// assert_eq!(error.name().to_string(), "");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &LockName {
        match self {
            LockError::Timeout { name, .. }
            | LockError::Deadlock { name, .. }
            | LockError::Interrupted { name, .. }
            | LockError::OpenTransaction { name, .. }
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

    /// Whether the closure of the call that returned this error ran, and what became of its work.
    ///
    /// An error that the closure itself returned, such as that of a nested call, says nothing about
    /// the enclosing call: its `outcome` is the nested call's.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::Outcome;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let other = &mut establish_connection();
    /// # let held = LockName::named("job").lock().acquire(other)?;
    /// let job = LockName::named("job");
    /// let error = job.lock().no_wait().run(&mut conn, |_, _| Ok::<_, LockError>(())).unwrap_err();
    /// match error.outcome() {
    ///     Outcome::NothingHappened | Outcome::RolledBack => println!("as if it had not been called"),
    ///     Outcome::Committed => println!("done"),
    ///     Outcome::Ran | Outcome::Unknown => println!("look at the data"),
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
            | LockError::RowNotFound { .. }
            | LockError::KeyMismatch { .. }
            | LockError::InvalidName { .. }
            | LockError::Pool { .. } => Outcome::NothingHappened,
            LockError::TransactionLeftOpen { .. } => Outcome::RolledBack,
            LockError::CommitUnknown { .. } => Outcome::Unknown,
            LockError::Lost { outcome, .. } | LockError::Database { outcome, .. } => *outcome,
        }
    }

    /// Whether the lock was held elsewhere: [`Timeout`](Self::Timeout) and [`Deadlock`](Self::Deadlock).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let error = LockName::exact("").unwrap_err();
    /// assert!(!error.is_contended());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_contended(&self) -> bool {
        matches!(self, LockError::Timeout { .. } | LockError::Deadlock { .. })
    }

    /// Whether the call may be repeated as it is: nothing of it is left, and the cause may pass.
    ///
    /// Repeat it on another connection if this one is marked as broken, as it is after `Lost`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let error = LockName::exact("").unwrap_err();
    /// assert!(!error.is_retryable()); // the name stays empty
    /// # Ok(())
    /// # }
    /// ```
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
            | LockError::TransactionLeftOpen { .. }
            | LockError::CommitUnknown { .. }
            | LockError::RowNotFound { .. }
            | LockError::KeyMismatch { .. }
            | LockError::InvalidName { .. } => false,
        }
    }

    /// The session that held the lock, of a `Timeout` or a `Deadlock`, if the server reported it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let other = &mut establish_connection();
    /// let _held = LockName::named("job").lock().acquire(other)?;
    /// let error = LockName::named("job").lock().no_wait().acquire(&mut conn).unwrap_err();
    /// if let Some(session) = error.holder() {
    ///     println!("KILL {} would end it", session.connection_id);
    /// }
    /// # assert!(error.holder().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn holder(&self) -> Option<&Session> {
        match self {
            LockError::Timeout { holder, .. } | LockError::Deadlock { holder, .. } => {
                holder.as_deref()
            }
            _ => None,
        }
    }

    /// The lock error inside a Diesel error, where `?` in a function that returns
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

    /// A database error before the closure ran.
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

/// Boxed as [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), the variant that
/// Diesel has for errors from outside; `LockError::try_from` and [`LockError::in_diesel`] get it out again.
impl From<LockError> for DieselError {
    fn from(error: LockError) -> Self {
        DieselError::QueryBuilderError(Box::new(error))
    }
}

/// The lock error in a Diesel error; any other error is given back as it was.
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
/// Never implemented by hand; it exists so that the compiler can say what is missing.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
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
    label = "the lock's own errors do not fit into `{Self}`",
    note = "implement `From<diesel_advisory_lock::LockError>` for `{Self}`; with thiserror: `#[error(transparent)] Lock(#[from] LockError)`"
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
    fn sources_are_kept() {
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
    fn a_timeout_says_how_long_it_waited() {
        assert!(every_error()[0].to_string().contains("300ms"));
    }

    #[test]
    fn a_timeout_names_the_session_that_holds_the_lock() {
        assert_eq!(every_error()[0].holder(), Some(&Session::new(42, None)));
        let told = every_error()[0].to_string();
        assert!(told.contains("connection 42 holds it"), "{told}");
        let untold = every_error()[1].to_string();
        assert!(untold.contains("another session holds it"), "{untold}");
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
    fn what_is_retryable_has_left_nothing_behind() {
        for error in every_error() {
            let is_clean = matches!(
                error.outcome(),
                Outcome::NothingHappened | Outcome::RolledBack
            );
            assert!(!error.is_retryable() || is_clean, "{error}");
        }
    }

    #[test]
    fn a_diesel_error_gives_it_back_as_a_value() {
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
    fn a_diesel_error_gives_it_back() {
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
    fn errors_and_names_cross_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<LockError>();
        crosses::<LockName>();
    }
}
