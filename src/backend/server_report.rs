//! [`ServerReport`]: all that was found out about a server.

use std::fmt;
use std::time::Duration;

use super::finding::Finding;

/// What was found out about a server. `Display` writes it as text of several lines.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let report = diesel_advisory_lock::check_server(&mut conn)?;
/// println!("{report}");
/// // MariaDB (11.8.3-MariaDB)
/// //   locks hold here, until a session says nothing for 28800s (`wait_timeout`)
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
    /// Whose server it is.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::server::Vendor;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let report = diesel_advisory_lock::check_server(&mut conn)?;
    /// assert!(matches!(report.vendor(), Vendor::MySql | Vendor::MariaDb));
    /// # Ok(())
    /// # }
    /// ```
    pub fn vendor(&self) -> Vendor {
        self.vendor
    }

    /// What `VERSION()` says.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let report = diesel_advisory_lock::check_server(&mut conn)?;
    /// println!("{}", report.version()); // 9.1.0, or 11.8.3-MariaDB
    /// # assert!(report.version().contains('.'));
    /// # Ok(())
    /// # }
    /// ```
    pub fn version(&self) -> &str {
        &self.version
    }

    /// After what time without a word this session ends, and its locks with it; `None` if the server does not say.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let report = diesel_advisory_lock::check_server(&mut conn)?;
    /// if report.wait_timeout().is_some_and(|limit| limit < Duration::from_secs(600)) {
    ///     println!("who is busy elsewhere under a lock for ten minutes needs `.keep_alive(..)`");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_timeout(&self) -> Option<Duration> {
        self.wait_timeout
    }

    /// What there is to know, refusals first.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::server::Vendor;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let report = diesel_advisory_lock::check_server(&mut conn)?;
/// match report.vendor() {
///     Vendor::MySql | Vendor::MariaDb => println!("{}: everything here is tested on it", report.vendor()),
///     other => println!("{other}: known by its documentation"),
/// }
/// # Ok(())
/// # }
/// ```
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
