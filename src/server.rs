//! [`check_server`]: what the server at the other end can promise.

use std::fmt;
use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::backend::sealed::Session as _;
use crate::source::LockSource;

/// Asks the server whether locks hold there, and what to know about it: for the start of a program, or for a test of
/// its set-up. [`ServerCheck::run`] with nothing told.
///
/// ```
/// # include!("doctest_setup.rs");
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
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "nothing is asked until `.run(conn)`"]
pub struct ServerCheck {
    pub(crate) longest_hold: Option<Duration>,
}

impl ServerCheck {
    /// With nothing told.
    pub fn new() -> Self {
        ServerCheck::default()
    }

    /// The longest that the program holds a lock without a word on the connection. The server must not end the session
    /// before.
    pub fn longest_hold(self, longest_hold: Duration) -> Self {
        ServerCheck {
            longest_hold: Some(longest_hold),
        }
    }

    /// Asks the server. Some five queries; nothing is locked, and nothing is changed.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// use std::time::Duration;
    ///
    /// use diesel_advisory_lock::server::{Finding, ServerCheck};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let a_week = Duration::from_secs(7 * 24 * 60 * 60);
    /// let report = ServerCheck::new().longest_hold(a_week).run(&mut conn)?;
    /// for finding in report.findings() {
    ///     if let Finding::ShortWaitTimeout { wait_timeout, .. } = finding {
    ///         println!("use `.longest_hold(..)`: idle sessions end after {wait_timeout:?}");
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
        let report = conn
            .connection()
            .check_server(self)
            .map_err(|source| ServerError::Database { source })?;
        if report.findings.iter().any(Finding::is_refusal) {
            return Err(ServerError::Refused {
                report: Box::new(report),
            });
        }
        Ok(report)
    }
}

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

/// Something to know about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A node of a Galera cluster, such as MariaDB's or Percona XtraDB Cluster. Refused: locks are local to the node, so
    /// two nodes grant one lock at once.
    #[non_exhaustive]
    Galera {
        /// How many nodes there are, if it is connected.
        nodes: Option<u32>,
    },
    /// A member of a group (Group Replication, InnoDB Cluster) that writes on several members. Refused: locks are local
    /// to the member.
    SeveralPrimaries,
    /// A server from before a session could hold two locks: the second released the first. Refused.
    #[non_exhaustive]
    TooOld {
        /// From which version on it would do.
        needs: &'static str,
    },
    /// The session has `autocommit = 0`. Refused: what the closure writes is committed at some later time, and then
    /// by somebody who does not hold the lock.
    AutocommitOff,
    /// The client library gives back every text as an empty one, as MariaDB Connector/C 3.3.19 does (measured). Refused: keys
    /// that are text, and with them the names of rows, would all be the same.
    TextIsLost,
    /// A replica of another server, whose locks it knows nothing of. Only those who lock here exclude each other.
    Replica,
    /// A server that takes no writes: a replica, or the reader of a managed service.
    ReadOnly,
    /// TiDB, by its documentation: locks hold across its cluster, but a wait is of 1 to 3,600 seconds, deadlocks are not
    /// seen, nobody is told who holds a lock, and one that is held for longer than `max-txn-ttl` (an hour) is lost.
    TiDb,
    /// Vitess, by its documentation: locks are on a connection of their own, and not on that of the transaction. Refused.
    Vitess,
    /// Sessions end before the longest hold does.
    #[non_exhaustive]
    ShortWaitTimeout {
        /// After what time without a word a session ends.
        wait_timeout: Duration,
        /// What was told.
        longest_hold: Duration,
    },
    /// Sessions that are idle in a transaction end before the longest hold does.
    #[non_exhaustive]
    ShortIdleTransactionTimeout {
        /// MariaDB's variable that says so.
        variable: String,
        /// After what time without a word a session ends.
        limit: Duration,
        /// What was told.
        longest_hold: Duration,
    },
    /// Something that this account may not see, and so nobody has checked.
    #[non_exhaustive]
    Unchecked {
        /// What was to be found out.
        what: &'static str,
        /// Which privilege would do.
        needs: &'static str,
    },
}

impl Finding {
    /// Whether locks do not hold there. Other findings are warnings.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Finding::Galera { .. }
                | Finding::SeveralPrimaries
                | Finding::TooOld { .. }
                | Finding::AutocommitOff
                | Finding::TextIsLost
                | Finding::Vitess
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Galera { nodes } => {
                f.write_str("a node of a Galera cluster")?;
                if let Some(nodes) = nodes {
                    write!(f, " of {nodes}")?;
                }
                f.write_str(
                    ": locks are local to the node, so two nodes grant one lock at once; \
                     have all programs that lock connect to a single node, or lock on a server of its own",
                )
            }
            Finding::SeveralPrimaries => f.write_str(
                "a member of a replication group with several primaries: locks are local to the member; \
                 run the group with a single primary, and lock there",
            ),
            Finding::TooOld { needs } => write!(
                f,
                "too old: a session's second lock releases its first; upgrade to {needs} or later"
            ),
            Finding::AutocommitOff => f.write_str(
                "this session has autocommit off: locks would be released before what was written is committed; \
                 `SET autocommit = 1`",
            ),
            Finding::TextIsLost => f.write_str(
                "the client library gives back every text as an empty one, as MariaDB Connector/C 3.3.19 does \
                 (Debian's libmariadb3 10.11.18); install a later one",
            ),
            Finding::Replica => f.write_str(
                "a replica: it knows nothing of the locks on its source; lock where you write",
            ),
            Finding::ReadOnly => {
                f.write_str("takes no writes, as a replica does not: lock where you write")
            }
            Finding::TiDb => f.write_str(
                "TiDB waits for a lock for 1 to 3,600 seconds, whatever it is told, does not see deadlocks, cannot tell \
                 who holds a lock, and loses one that is held for longer than `max-txn-ttl`, which is an hour",
            ),
            Finding::Vitess => f.write_str(
                "Vitess takes locks on another connection than the transaction's, so one may end without the other; lock \
                 on a server of its own",
            ),
            Finding::ShortWaitTimeout {
                wait_timeout,
                longest_hold,
            } => write!(
                f,
                "ends a session that is idle for {wait_timeout:?}, and a lock is to be held for up to {longest_hold:?}; \
                 ask for it with `.longest_hold(..)`, or raise `wait_timeout`",
            ),
            Finding::ShortIdleTransactionTimeout {
                variable,
                limit,
                longest_hold,
            } => write!(
                f,
                "ends a session that is idle in a transaction for {limit:?}, and a lock is to be held for up to \
                 {longest_hold:?}; raise `{variable}`, or do not be busy elsewhere in `.transaction(..)`",
            ),
            Finding::Unchecked { what, needs } => {
                write!(f, "not checked, since the account may not see it: {what}; {needs}")
            }
        }
    }
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

/// Why there is no server to lock on.
///
/// ```
/// # include!("doctest_setup.rs");
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
    pub fn report(&self) -> Option<&ServerReport> {
        match self {
            ServerError::Refused { report } => Some(report),
            ServerError::Database { .. } => None,
        }
    }
}
