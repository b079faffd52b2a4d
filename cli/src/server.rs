//! [`Server`]: the server of the URL.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;

use anyhow::{Context, Result, bail};
use diesel::prelude::*;
use diesel_advisory_lock::inspect::{self, HeldLock, InspectError};
use diesel_advisory_lock::server::{ServerCheck, ServerError, ServerReport};

use crate::args;
use crate::lock::{Lock, Mode, Session};
use crate::name::{Dialect, Of, Wanted};

/// A connection.
pub(crate) enum Server {
    #[cfg(feature = "mysql")]
    Mysql(MysqlConnection),
    #[cfg(feature = "postgres")]
    Postgres(PgConnection),
}

/// Evaluates `$work` with the connection and the module of its server.
macro_rules! on {
    ($server:expr, $conn:ident, $module:ident => $work:expr) => {
        match $server {
            #[cfg(feature = "mysql")]
            Server::Mysql($conn) => {
                #[allow(unused_imports, reason = "not every use needs the module")]
                use mysql as $module;
                $work
            }
            #[cfg(feature = "postgres")]
            Server::Postgres($conn) => {
                #[allow(unused_imports, reason = "not every use needs the module")]
                use postgres as $module;
                $work
            }
        }
    };
}

/// What became of a session that was to be ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server was asked to end it.
    Requested,
    /// It did not hold the lock, and was left alone.
    NotHolding,
}

impl Server {
    /// Connects to the server. No message contains the URL, which may have a password.
    pub(crate) fn connect(url: Option<&str>) -> Result<Self> {
        let Some(url) = url else {
            bail!("no server is given: set DATABASE_URL, or pass --database-url");
        };
        let failed = "cannot connect to the server";
        match url.split_once("://").map(|(scheme, _)| scheme) {
            #[cfg(feature = "mysql")]
            Some("mysql") => {
                let conn = MysqlConnection::establish(url).context(failed)?;
                Ok(Server::Mysql(conn))
            }
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => {
                let conn = PgConnection::establish(url).context(failed)?;
                Ok(Server::Postgres(conn))
            }
            #[allow(unreachable_patterns, reason = "reached with one of the features")]
            Some(scheme @ ("mysql" | "postgres" | "postgresql")) => {
                let feature = if scheme == "mysql" {
                    scheme
                } else {
                    "postgres"
                };
                bail!(
                    "this program was compiled without {scheme}://; install it with `cargo install \
                     diesel-advisory-lock-cli --features {feature}`"
                )
            }
            Some("mariadb") => bail!("the URL of a MariaDB server starts with mysql://"),
            _ => bail!("the URL of a server starts with mysql:// or postgres://"),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            #[cfg(feature = "mysql")]
            Server::Mysql(_) => Dialect::Mysql,
            #[cfg(feature = "postgres")]
            Server::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The lock that the arguments name, on this server.
    pub(crate) fn wanted(&mut self, name: &args::Name) -> Result<Wanted> {
        let dialect = self.dialect();
        let wanted = name.wanted(dialect, |of| self.schema_of(of))?;
        wanted.note_guess();
        Ok(wanted)
    }

    /// The schema in which the connection sees the table.
    fn schema_of(&mut self, of: Of<'_>) -> Result<String> {
        on!(self, conn, sql => sql::schema_of(conn, of))
    }

    /// The locks that are held. The notes say what may be missing.
    pub(crate) fn locks(&mut self, notes: &mut Vec<String>) -> Result<Vec<Lock>> {
        let held = self.held_locks(notes)?;
        if held.is_empty() {
            return Ok(Vec::new());
        }
        self.note_hidden_sessions(&held, notes)?;
        let schemas = self.schemas()?;
        let locks = held.into_iter().map(|lock| Lock::new(lock, &schemas));
        Ok(locks.collect())
    }

    fn held_locks(&mut self, notes: &mut Vec<String>) -> Result<Vec<HeldLock>, InspectError> {
        match on!(self, conn, sql => inspect::held_locks(conn)) {
            Err(error @ InspectError::Incomplete { .. }) => {
                notes.push(format!("warning: {error}"));
                match error {
                    InspectError::Incomplete { held, .. } => Ok(held),
                    error => Err(error),
                }
            }
            result => result,
        }
    }

    fn note_hidden_sessions(
        &mut self,
        held: &[HeldLock],
        notes: &mut Vec<String>,
    ) -> QueryResult<()> {
        let mut holders = held
            .iter()
            .flat_map(|lock| [&lock.holder].into_iter().chain(&lock.other_holders));
        let is_hidden = |it: &inspect::Session| it.activity.is_none() && it.connection_id != 0;
        if holders.any(is_hidden)
            && let Some(remedy) = on!(self, conn, sql => sql::remedy_of_hidden(conn)?)
        {
            notes.push(format!(
                "note: this account may not see what some holders do; ask an administrator to run \
                 {remedy}"
            ));
        }
        Ok(())
    }

    fn schemas(&mut self) -> QueryResult<Vec<String>> {
        on!(self, conn, sql => sql::schemas(conn))
    }

    /// The lock with its sessions, or `None` if it is free. Needs no privilege: without one, less
    /// is known about the sessions.
    pub(crate) fn lock(
        &mut self,
        wanted: &Wanted,
        notes: &mut Vec<String>,
    ) -> Result<Option<Lock>> {
        match self.held_locks(notes) {
            Ok(held) => {
                if let Some(lock) = held.into_iter().find(|lock| wanted.is(lock)) {
                    self.note_hidden_sessions(std::slice::from_ref(&lock), notes)?;
                    let schemas = self.schemas()?;
                    let mut lock = Lock::new(lock, &schemas);
                    // The list may know only the key, and the caller only the key as well.
                    if !wanted.is_number() {
                        lock.name = wanted.full_name();
                    }
                    return Ok(Some(lock));
                }
            }
            Err(InspectError::Database { source, .. }) => return Err(source.into()),
            Err(error) => notes.push(format!("note: waiters are not known, since {error}")),
        }
        // The list has no exact names on MySQL and MariaDB.
        let holders = self.holders(wanted)?;
        if holders.is_empty() {
            return Ok(None);
        }
        let session = |id| on!(&mut *self, conn, sql => sql::session(conn, id));
        let holders: Vec<_> = holders
            .into_iter()
            .map(session)
            .collect::<QueryResult<_>>()?;
        Ok(Some(Lock {
            name: wanted.full_name(),
            schema: None,
            postgres_key: (self.dialect() == Dialect::Postgres).then(|| wanted.key().to_string()),
            mode: Mode::Exclusive,
            held: None,
            held_is_exact: false,
            holders,
            waiters: Vec::new(),
        }))
    }

    /// The ids of the sessions that hold the lock.
    pub(crate) fn holders(&mut self, wanted: &Wanted) -> Result<Vec<u64>> {
        on!(self, conn, sql => sql::holders(conn, wanted))
    }

    /// Ends the session if it still holds the lock.
    pub(crate) fn end(&mut self, wanted: &Wanted, holder: &Session) -> Result<Ending> {
        on!(self, conn, sql => sql::end(conn, wanted, holder.connection))
    }

    pub(crate) fn check(&mut self, check: ServerCheck) -> Result<ServerReport, ServerError> {
        on!(self, conn, sql => check.run(conn))
    }
}
