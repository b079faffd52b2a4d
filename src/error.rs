//! [`LockError`]: everything that can go wrong, each with what to do about it.

use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::locks::Session;
use crate::name::LockName;

/// Why a lock was not had, or not kept.
///
/// Every message names the lock. A closure's error type takes it by `From<LockError>`; Diesel's
/// own [`Error`](diesel::result::Error) does, so a closure that returns `QueryResult` works, and
/// [`LockError::in_diesel`] finds it again there.
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
    /// Somebody else held the lock for as long as we were ready to wait.
    #[error(
        "lock `{name}` was not free within {waited:?}: {} holds it; try again later, wait longer with `.timeout(..)`, or use a `try_` form to go on without it",
        or_somebody(holder)
    )]
    #[non_exhaustive]
    Timeout {
        /// The lock.
        name: LockName,
        /// How long we waited, measured here.
        waited: Duration,
        /// Who held it just after that, as the server told. `None` if nobody did any more, if the server
        /// could not be asked (within a second), or if the wait was for a turn in a `LockPool`, which a request of this
        /// process had.
        holder: Option<Box<Session>>,
    },

    /// Waiting would never have ended: the holder waits for a lock that this session holds. The
    /// locks and the transaction that this session has are untouched.
    ///
    /// The servers look no further than 32 sessions along a chain, each of which waits for the next, and
    /// call a longer one a deadlock too. A circle that goes through a row lock they do not see: that
    /// ends with the time-out.
    #[error(
        "lock `{name}` would deadlock: {} holds it and waits for a lock of this session; release what you hold and try again, and take several locks in one order everywhere",
        or_somebody(holder)
    )]
    #[non_exhaustive]
    Deadlock {
        /// The lock.
        name: LockName,
        /// Who held it just after that, as the server told; see `Timeout`.
        holder: Option<Box<Session>>,
        /// What the server answered.
        source: DieselError,
    },

    /// The wait was ended from outside: `KILL QUERY`, a server-side limit on statements
    /// (`max_statement_time`, `max_execution_time`), or a server that is stopping. The lock is not held.
    /// If it was not the waiting statement that was killed but the one before it, the connection is
    /// marked as broken.
    #[error(
        "waiting for lock `{name}` was interrupted by the server (`KILL QUERY`, a statement time limit, or a shutdown); it was not acquired, try again if you still want it"
    )]
    #[non_exhaustive]
    Interrupted {
        /// The lock.
        name: LockName,
        /// What the server answered; MariaDB answers NULL rather than an error.
        source: Option<DieselError>,
    },

    /// A transaction is open on the connection, and this session does not hold the lock yet. It
    /// would be released before that transaction commits, and what the transaction reads may be older
    /// than the lock.
    #[error(
        "lock `{name}` was refused: a transaction is open on the connection and would outlive it; take the lock first, as `.lock().transaction(conn, ..)` does"
    )]
    #[non_exhaustive]
    OpenTransaction {
        /// The lock.
        name: LockName,
    },

    /// The closure returned, or the guard was released, with a transaction open that had not been
    /// open before. It was rolled back.
    #[error(
        "a transaction begun under lock `{name}` was left open, and has been rolled back; commit it before the lock ends, or use `.lock().transaction(conn, ..)`"
    )]
    #[non_exhaustive]
    TransactionLeftOpen {
        /// The lock.
        name: LockName,
    },

    /// The server did not confirm that the lock was still ours at the end, so somebody else may
    /// have held it meanwhile. The connection is marked as broken, and a pool will discard it.
    #[error(
        "lock `{name}` was lost while it was held: the server does not confirm it on release; what was done under it outside of a transaction may not have been exclusive, check it"
    )]
    #[non_exhaustive]
    Lost {
        /// The lock.
        name: LockName,
        /// Why the server could not be asked, if so; otherwise it answered that the lock is not ours.
        source: Option<DieselError>,
    },

    /// The row was deleted before we got its lock. The caller's model is as it was.
    #[error(
        "the row of lock `{name}` no longer exists: it was deleted before the lock was acquired"
    )]
    #[non_exhaustive]
    Gone {
        /// The lock.
        name: LockName,
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

    /// The pool gave no connection in time, so that nobody could be asked for the lock: all are in use, or
    /// the server cannot be reached.
    #[cfg(feature = "r2d2")]
    #[error(
        "the pool had no connection to ask for lock `{name}`; its error says why; if all were in use, make it larger, or queue for locks without a connection by a `LockPool`"
    )]
    #[non_exhaustive]
    Pool {
        /// The lock.
        name: LockName,
        /// What the pool says.
        source: diesel::r2d2::PoolError,
    },

    /// Any other database error while locking, re-reading, or in `BEGIN` and `COMMIT`.
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
    },
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
            | LockError::Gone { name, .. }
            | LockError::InvalidName { name, .. }
            | LockError::Database { name, .. } => name,
            #[cfg(feature = "r2d2")]
            LockError::Pool { name, .. } => name,
        }
    }

    /// Who held the lock, of a `Timeout` or a `Deadlock`, as far as the server told.
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

    pub(crate) fn database(name: &LockName, source: DieselError) -> Self {
        LockError::Database {
            name: name.clone(),
            source,
        }
    }
}

fn or_somebody(holder: &Option<Box<Session>>) -> String {
    match holder {
        Some(session) => session.to_string(),
        None => "somebody else".to_owned(),
    }
}

/// Boxed as [`QueryBuilderError`](diesel::result::Error::QueryBuilderError), the variant that
/// Diesel has for errors from outside; [`LockError::in_diesel`] gets it out again.
impl From<LockError> for DieselError {
    fn from(error: LockError) -> Self {
        DieselError::QueryBuilderError(Box::new(error))
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
/// let done: Result<(), _> = job.lock().hold(&mut conn, |_| Err(JobError::Idle));
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

    use super::{DieselError, LockError, LockName, Session};

    fn every_error() -> Vec<LockError> {
        let name = || LockName::named("job");
        let source = || DieselError::RollbackTransaction;
        vec![
            LockError::Timeout {
                name: name(),
                waited: Duration::from_millis(300),
                holder: Some(Box::new(Session::new(42, None))),
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
            LockError::OpenTransaction { name: name() },
            LockError::TransactionLeftOpen { name: name() },
            LockError::Lost {
                name: name(),
                source: Some(source()),
            },
            LockError::Gone { name: name() },
            LockError::InvalidName {
                name: name(),
                reason: "it is a test",
            },
            LockError::Database {
                name: name(),
                source: source(),
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
        assert_eq!(with_source, 4);
    }

    #[test]
    fn a_time_out_says_how_long_it_waited() {
        assert!(every_error()[0].to_string().contains("300ms"));
    }

    #[test]
    fn a_time_out_says_who_holds_the_lock() {
        assert_eq!(every_error()[0].holder(), Some(&Session::new(42, None)));
        let told = every_error()[0].to_string();
        assert!(told.contains("connection 42 holds it"), "{told}");
        let untold = every_error()[1].to_string();
        assert!(untold.contains("somebody else holds it"), "{untold}");
    }

    #[test]
    fn a_diesel_error_gives_it_back() {
        let error = DieselError::from(LockError::Gone {
            name: LockName::named("job"),
        });
        assert!(matches!(
            LockError::in_diesel(&error),
            Some(LockError::Gone { .. })
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
