//! What a server must offer. Each backend keeps all its SQL in one file below, and in the files below that.
#![cfg_attr(
    not(feature = "mysql"),
    allow(
        dead_code,
        reason = "without a backend there are names, and nobody to ask for them"
    )
)]

use std::time::Duration;

use diesel::Connection;
use diesel::result::Error as DieselError;

use crate::locks::{HeldLock, InspectError, LockStatus, Session as Holder};
use crate::server::{ServerCheck, ServerReport};
use crate::source::LockSource;

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
        Acquired, Connection, DieselError, Duration, HeldLock, Holder, InspectError, LockStatus,
        Refusal, Request, ServerCheck, ServerReport, Wanted,
    };

    /// Out of users' reach, so that it can change with the next backend.
    pub trait Session: Connection {
        /// Asks for a lock and waits.
        ///
        /// Leaves nothing behind on a refusal: if the session may hold the lock all the same, the
        /// connection is marked as broken.
        fn acquire(&mut self, request: Request<'_>) -> Result<Acquired, Refusal>;

        /// Gives one hold of a lock back. `false`: the server says that it is not ours.
        fn release(&mut self, server_name: &str) -> Result<bool, DieselError>;

        /// Whether this session still holds a lock.
        fn holds(&mut self, server_name: &str) -> Result<bool, DieselError>;

        /// Releases a lock and takes it again if no other session waits for it, in one step. Tells whether it
        /// was ours, and whether it is again.
        fn give_way(&mut self, server_name: &str) -> Result<(bool, bool), DieselError>;

        /// Who holds a lock, to explain why somebody else does not. Bounded in time; what the server does not tell is
        /// left out.
        fn holder(&mut self, server_name: &str) -> Option<Holder>;

        /// Whether a lock is free.
        fn status(&mut self, name: Wanted<'_>) -> Result<LockStatus, DieselError>;

        /// All locks of this crate on the server.
        fn held_locks(&mut self) -> Result<Vec<HeldLock>, InspectError>;

        /// What the server can promise.
        fn check_server(&mut self, check: ServerCheck) -> Result<ServerReport, DieselError>;

        /// Has the server bear with an idle session for that long. Gives the limit that was there, if it was shorter.
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
    /// Refuse unless this session holds the lock already.
    pub(crate) only_again: bool,
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
    /// Whether the session held it before.
    pub(crate) nested: bool,
    /// Whether somebody else had it first.
    pub(crate) waited: bool,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum Refusal {
    /// With the whole name, to ask who holds it.
    Timeout {
        server_name: String,
    },
    /// Not held before, though that was asked for.
    NotHeld,
    Deadlock {
        server_name: String,
        error: DieselError,
    },
    Interrupted(Option<DieselError>),
    Database(DieselError),
}
