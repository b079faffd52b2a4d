//! [`check_server`]: what the server at the other end can promise.

use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::backend::{CheckServer, LockConnection, LockSource};
use crate::driver::ready;

pub use crate::backend::{Finding, ServerReport, Vendor};

/// Asks the server whether locks hold there, and what to know about it: for the start of a program, or for a test of
/// its set-up. [`ServerCheck::run`] with nothing told.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::check_server;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let report = check_server(&mut conn)?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ServerError::Refused`] if locks do not hold on this server, so that a program does not start there
/// by mistake; [`ServerError::Database`] if it cannot be asked.
pub fn check_server<S: LockSource>(conn: &mut S) -> Result<ServerReport, ServerError> {
    ServerCheck::new().run(conn)
}

/// [`check_server`], with what it should know of the program.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use std::time::Duration;
/// use diesel_advisory_lock::server::ServerCheck;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let check = ServerCheck::new().keep_alive(Duration::from_secs(60));
/// println!("{}", check.run(&mut conn)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "nothing is asked until `.run(conn)`"]
pub struct ServerCheck {
    keep_alive: Option<Duration>,
}

impl ServerCheck {
    /// With nothing told.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::check_server;
    /// use diesel_advisory_lock::server::ServerCheck;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// assert_eq!(ServerCheck::new().run(&mut conn)?, check_server(&mut conn)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> Self {
        ServerCheck::default()
    }

    /// The longest that the program holds a lock without a word on the connection. The server must not end the session
    /// before.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    /// use diesel_advisory_lock::server::{Finding, ServerCheck};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let a_week = Duration::from_secs(7 * 24 * 60 * 60);
    /// let report = ServerCheck::new().keep_alive(a_week).run(&mut conn)?;
    /// assert!(matches!(report.findings(), [Finding::ShortWaitTimeout { .. }]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_alive(self, keep_alive: Duration) -> Self {
        ServerCheck {
            keep_alive: Some(keep_alive),
        }
    }

    /// Asks the server. Some five queries; nothing is locked, and nothing is changed.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// use std::time::Duration;
    ///
    /// use diesel_advisory_lock::server::{Finding, ServerCheck};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let a_week = Duration::from_secs(7 * 24 * 60 * 60);
    /// let report = ServerCheck::new().keep_alive(a_week).run(&mut conn)?;
    /// for finding in report.findings() {
    ///     if let Finding::ShortWaitTimeout { wait_timeout, .. } = finding {
    ///         println!("use `.keep_alive(..)`: idle sessions end after {wait_timeout:?}");
    ///     }
    /// }
    /// # assert_eq!(report.findings().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`check_server`].
    pub fn run<S: LockSource>(self, conn: &mut S) -> Result<ServerReport, ServerError> {
        let conn = conn.connection();
        let report = <S::Connection as LockConnection>::Server::check_server(conn, self.keep_alive);
        let report = ready(report).map_err(|source| ServerError::Database { source })?;
        if report.findings.iter().any(Finding::is_refusal) {
            return Err(ServerError::Refused {
                report: Box::new(report),
            });
        }
        Ok(report)
    }
}

/// Why there is no server to lock on.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// match diesel_advisory_lock::check_server(&mut conn) {
///     Ok(report) => println!("{report}"),
///     Err(error) => eprintln!("{error}"), // says what to do
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Locks do not hold there.
    #[error("locks do not hold on this server: {report}")]
    #[non_exhaustive]
    Refused {
        /// All that was found out.
        report: Box<ServerReport>,
    },
    /// It cannot be asked.
    #[error("the database failed when asked what it can promise")]
    #[non_exhaustive]
    Database {
        /// The error as Diesel reports it.
        source: DieselError,
    },
}

impl ServerError {
    /// All that was found out about a server that is refused.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::check_server;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// if let Err(error) = check_server(&mut conn) {
    ///     let version = error.report().map(|report| report.version());
    ///     eprintln!("{version:?}: {error}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self) -> Option<&ServerReport> {
        match self {
            ServerError::Refused { report } => Some(report),
            ServerError::Database { .. } => None,
        }
    }
}
