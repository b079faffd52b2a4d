//! [`ServerReport`]: the result of a server check.

use std::fmt;
use std::time::Duration;

use super::finding::Finding;

/// The result of [`check_server`](crate::server::check_server). `Display` writes it as several
/// lines.
///
/// ```
/// # include!("../doctest_setup.rs");
/// use diesel_advisory_lock::server::Finding;
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// let report = diesel_advisory_lock::check_server(&mut conn)?;
/// println!("{report}");
/// // MariaDB (11.8.3-MariaDB)
/// //   locks hold here, until a session has been idle for 28800s (`wait_timeout`)
///
/// if report.findings().contains(&Finding::Replica) {
///     eprintln!("connect to the source of {} {}", report.vendor(), report.version());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    pub(crate) vendor: Vendor,
    pub(crate) version: String,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) findings: Vec<Finding>,
}

impl ServerReport {
    /// Returns the vendor of the server.
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// Returns `VERSION()`, such as `9.1.0` or `11.8.3-MariaDB`; of PostgreSQL `server_version`,
    /// such as `15.20 (Debian 15.20-0+deb12u1)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns for how long this session may be idle before the server ends it, and its locks with
    /// it: `wait_timeout`, on PostgreSQL `idle_session_timeout`. `None` if there is no limit, or if
    /// the server does not report it.
    ///
    /// A program that is idle for longer under a lock needs
    /// [`keep_alive`](crate::lock::Lock::keep_alive).
    pub fn wait_timeout(&self) -> Option<Duration> {
        self.wait_timeout
    }

    /// Returns the findings, refusals first. A report that
    /// [`check_server`](crate::server::check_server) returns as `Ok` has no refusals.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// The vendor of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vendor {
    /// MySQL, Percona Server, and any server that does not identify itself as one of the others.
    MySql,
    /// MariaDB.
    MariaDb,
    /// PostgreSQL, and any server with its protocol that does not identify itself as another one.
    PostgreSql,
    /// CockroachDB.
    CockroachDb,
    /// YugabyteDB.
    YugabyteDb,
    /// TiDB.
    TiDb,
    /// Vitess, and PlanetScale, which is based on it.
    Vitess,
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Vendor::MySql => "MySQL",
            Vendor::MariaDb => "MariaDB",
            Vendor::PostgreSql => "PostgreSQL",
            Vendor::CockroachDb => "CockroachDB",
            Vendor::YugabyteDb => "YugabyteDB",
            Vendor::TiDb => "TiDB",
            Vendor::Vitess => "Vitess",
        })
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.vendor, self.version)?;
        for finding in &self.findings {
            let verdict = match finding.is_refusal() {
                true => "refused",
                false => "warning",
            };
            write!(f, "\n  {verdict}: {finding}")?;
        }
        if !self.findings.iter().any(Finding::is_refusal) {
            f.write_str("\n  locks hold here")?;
            if let Some(wait_timeout) = self.wait_timeout {
                let setting = match self.vendor {
                    Vendor::PostgreSql | Vendor::YugabyteDb => "idle_session_timeout",
                    _ => "wait_timeout",
                };
                write!(
                    f,
                    ", until a session has been idle for {wait_timeout:?} (`{setting}`)"
                )?;
            }
        }
        Ok(())
    }
}
