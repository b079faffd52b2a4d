//! [`check_server`]: whether locks hold on a server.

use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::backend::{CheckServer, LockDriver, LockSource};
use crate::driver::ready;

pub use crate::backend::{Finding, ServerReport, Vendor};

/// Checks whether locks hold on the server, and warns of its limits.
///
/// Call it at the start of a program, or in a test of its deployment. It makes five to ten queries,
/// and locks and changes nothing. [`ServerCheck`] also checks the server's idle timeouts.
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::check_server;
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// match check_server(&mut conn) {
///     Ok(report) => println!("{report}"), // may contain warnings
///     Err(error) => eprintln!("{error}"), // says what to do
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// - [`ServerError::Refused`] if locks do not hold on this server.
/// - [`ServerError::Database`] if a query fails.
pub fn check_server<S: LockSource>(conn: &mut S) -> Result<ServerReport, ServerError> {
    ServerCheck::new().run(conn)
}

/// A [`check_server`] with options.
///
/// ```
/// # include!("doctest_setup.rs");
/// use std::time::Duration;
/// use diesel_advisory_lock::server::{Finding, ServerCheck};
///
/// # fn main() -> TestResult {
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
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "nothing is checked until `.run(conn)`"]
pub struct ServerCheck {
    keep_alive: Option<Duration>,
}

impl ServerCheck {
    /// Starts a check without options.
    pub fn new() -> Self {
        ServerCheck::default()
    }

    /// Sets the longest time for which the program holds a lock without a statement on the
    /// connection. A shorter idle timeout of the server is reported as a warning.
    pub fn keep_alive(self, keep_alive: Duration) -> Self {
        ServerCheck {
            keep_alive: Some(keep_alive),
        }
    }

    /// Runs the check.
    ///
    /// # Errors
    ///
    /// As for [`check_server`].
    pub fn run<S: LockSource>(self, conn: &mut S) -> Result<ServerReport, ServerError> {
        ready(self.check(conn.connection()))
    }

    /// Checks the server.
    #[doc(hidden)]
    pub async fn check<D: LockDriver>(self, driver: &mut D) -> Result<ServerReport, ServerError> {
        let report = D::Server::check_server(driver, self.keep_alive).await;
        let report = report.map_err(|source| ServerError::Database { source })?;
        if report.findings.iter().any(Finding::is_refusal) {
            return Err(ServerError::Refused {
                report: Box::new(report),
            });
        }
        Ok(report)
    }
}

/// Why a server cannot be used for locks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Locks do not hold on this server.
    #[error("locks do not hold on this server: {report}")]
    #[non_exhaustive]
    Refused {
        /// The full report.
        report: Box<ServerReport>,
    },
    /// A query of the check failed.
    #[error("a database error occurred during the server check; see the source of this error")]
    #[non_exhaustive]
    Database {
        /// The error as Diesel reports it.
        source: DieselError,
    },
}

impl ServerError {
    /// Returns the report of a server that was refused.
    pub fn report(&self) -> Option<&ServerReport> {
        match self {
            ServerError::Refused { report } => Some(report),
            ServerError::Database { .. } => None,
        }
    }
}
