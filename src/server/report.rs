//! [`ServerReport`]: all that was found out about a server.

use std::fmt;
use std::time::Duration;

use super::Finding;

/// What was found out about a server. `Display` writes it as text of several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    pub(crate) vendor: Vendor,
    pub(crate) version: String,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) findings: Vec<Finding>,
}

impl ServerReport {
    /// Whose server it is.
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// What `VERSION()` says.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// After what time without a word this session ends, and its locks with it; `None` if the server does not say.
    pub fn wait_timeout(&self) -> Option<Duration> {
        self.wait_timeout
    }

    /// What there is to know, refusals first.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let report = diesel_advisory_lock::check_server(&mut conn)?;
    /// for finding in report.findings() {
    ///     println!("{finding}"); // none of them is a refusal: those are errors
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vendor {
    /// MySQL, Percona Server, and what calls itself neither of the others.
    MySql,
    /// MariaDB.
    MariaDb,
    /// TiDB.
    TiDb,
    /// Vitess, and PlanetScale, which is made of it.
    Vitess,
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Vendor::MySql => "MySQL",
            Vendor::MariaDb => "MariaDB",
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
                write!(
                    f,
                    ", until a session says nothing for {wait_timeout:?} (`wait_timeout`)"
                )?;
            }
        }
        Ok(())
    }
}
