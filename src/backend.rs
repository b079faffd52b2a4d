//! What a server must offer. Each backend keeps all its SQL in one file below, and in the files below that.
#![cfg_attr(
    not(feature = "mysql"),
    allow(
        dead_code,
        reason = "without a backend there are names, and no server to ask for them"
    )
)]

use std::time::Duration;

use diesel::Connection;
use diesel::result::Error as DieselError;

use crate::error::OpenTransactionReason;
use crate::locks::{HeldLock, InspectError, LockStatus, Session as Holder};
use crate::server::{ServerCheck, ServerReport};
use crate::source::LockSource;
use crate::transaction::Surroundings;

#[cfg(feature = "mysql")]
mod mysql;

/// A connection whose server has session-level advisory locks.
///
/// Sealed: the crate implements it for Diesel's `MysqlConnection`.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::LockConnection;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// fn run_job<C: LockConnection>(conn: &mut C) -> Result<(), LockError> {
///     LockName::named("job").lock().hold(conn, |_: &mut C| Ok(()))
/// }
/// # run_job(&mut conn)?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take advisory locks",
    label = "not a connection to a server that this crate knows",
    note = "`MysqlConnection` can, with the feature `mysql` of `diesel-advisory-lock`"
)]
pub trait LockConnection: sealed::Session + LockSource<Connection = Self> {}

pub(crate) mod sealed {
    use super::{
        Acquired, Connection, DieselError, Duration, HeldLock, Holder, Holding, InspectError,
        LockStatus, Passed, Refusal, ReleaseAnswer, Request, ServerCheck, ServerReport,
        Surroundings, Wanted,
    };

    /// Out of users' reach, so that it can change with the next backend.
    pub trait Session: Connection {
        /// Acquires a lock, waiting for it if necessary.
        ///
        /// Leaves nothing behind on a refusal: a session that may hold the lock all the same is ended.
        fn acquire(&mut self, request: Request<'_>) -> Result<Acquired, Refusal>;

        /// Releases one hold of a lock, unless a transaction is open that `surroundings` do not explain.
        fn release(&mut self, server_name: &str, surroundings: Surroundings) -> ReleaseAnswer;

        /// Whether this session holds all of these locks. One round trip for up to 64.
        fn holds(
            &mut self,
            server_names: &[&str],
            surroundings: Surroundings,
        ) -> Result<Holding, DieselError>;

        /// The session, to compare with [`Acquired::session`].
        fn session(&mut self) -> Result<u32, DieselError>;

        /// Releases a lock and acquires it again if no other session waits for it, in one step.
        fn give_way(&mut self, server_name: &str) -> Result<Passed, DieselError>;

        /// Ends the session, and with it all its locks and its transaction. The connection is marked as broken.
        fn end_session(&mut self);

        /// Whether a statement that failed may have begun to run: then the client library must not run it again.
        fn may_have_run(&mut self, error: &DieselError) -> bool;

        /// The session that holds a lock, to explain a timeout. Bounded in time; what the server does not
        /// return is left out.
        fn holder(&mut self, server_name: &str) -> Option<Holder>;

        /// Whether a lock is free.
        fn status(&mut self, name: Wanted<'_>) -> Result<LockStatus, DieselError>;

        /// All locks of this crate on the server.
        fn held_locks(&mut self) -> Result<Vec<HeldLock>, InspectError>;

        /// What the server can promise.
        fn check_server(&mut self, check: ServerCheck) -> Result<ServerReport, DieselError>;

        /// Raises the session's idle timeout to at least this. Returns the one before, if it was shorter.
        fn raise_idle_limit(&mut self, at_least: Duration)
        -> Result<Option<Duration>, DieselError>;

        fn set_idle_limit(&mut self, limit: Duration) -> Result<(), DieselError>;

        /// What stands before the slash in names of the session's namespace.
        fn namespace(&mut self) -> Result<String, DieselError>;

        /// Ends whatever transaction the server has open, also when Diesel's transaction manager
        /// no longer works.
        fn roll_back_everything(&mut self) -> Result<(), DieselError>;
    }
}

/// What is asked of the server.
#[derive(Debug)]
pub struct Request<'n> {
    pub(crate) name: Wanted<'n>,
    pub(crate) wait: Wait,
    /// Inside a transaction, only a lock that this session holds already is granted again.
    pub(crate) surroundings: Surroundings,
}

/// The name to ask for.
#[derive(Debug)]
pub enum Wanted<'n> {
    /// The text after the slash; the server puts the session's namespace before it.
    InSession(&'n str),
    Whole(String),
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    For(Duration),
    Forever,
}

/// A lock that this session holds now.
#[derive(Debug)]
pub struct Acquired {
    /// The whole name as the server computed it: what to release, whatever `USE` does meanwhile.
    pub(crate) server_name: String,
    /// Which session this is.
    pub(crate) session: u32,
    /// Whether the session held it before.
    pub(crate) nested: bool,
    /// Whether another session held it first.
    pub(crate) waited: bool,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum Refusal {
    /// With the whole name, to ask who holds it.
    Timeout {
        server_name: String,
    },
    OpenTransaction(OpenTransactionReason),
    Deadlock {
        server_name: String,
        error: DieselError,
    },
    Interrupted(Option<DieselError>),
    Database(DieselError),
}

/// What the server answers to a release.
#[derive(Debug)]
pub enum ReleaseAnswer {
    /// One hold of this session was released.
    Released {
        /// There are more: an enclosing lock, or a leaked one.
        still_held: bool,
    },
    /// Nothing was released: a transaction is open that would outlive the lock.
    TransactionOpen,
    /// This session did not hold it.
    NotHeld,
    /// The release is not confirmed.
    Failed(DieselError),
}

/// What the server answers when asked for several locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    All(Condition),
    /// The first that this session does not hold.
    Not(usize),
}

/// Whether the session, beside holding its locks, is as a new caller expects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Clean,
    /// A transaction is open, or every statement opens one.
    TransactionOpen,
    /// Its schema is not the one that its namespace was computed for.
    OtherSchema,
}

/// What became of a lock that was offered to the sessions that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// No session waited: this one has it again.
    Kept,
    /// Another session has it.
    Released,
    /// This session holds it more than once, so that it could not be released.
    StillHeld,
    /// It was not this session's.
    NotHeld,
    /// Nothing was released: a transaction is open that would outlive the lock.
    TransactionOpen,
}
