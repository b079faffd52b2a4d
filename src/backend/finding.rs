//! [`Finding`]: something to know about a server, and whether locks hold in spite of it.

use std::fmt;
use std::time::Duration;

/// Something to know about a server.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::server::Finding;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let report = diesel_advisory_lock::check_server(&mut conn)?;
/// if report.findings().contains(&Finding::Replica) {
///     eprintln!("connect to the source");
/// }
/// # Ok(())
/// # }
/// ```
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
    /// The session has `autocommit = 0`. Refused: what the closure writes is committed later, when
    /// the session no longer holds the lock.
    AutocommitOff,
    /// The session has a `completion_type` other than `NO_CHAIN`. Refused: with `CHAIN` every
    /// COMMIT starts another transaction, which is open when the lock is released; with `RELEASE`
    /// every COMMIT ends the session, and with it the lock.
    #[non_exhaustive]
    CompletionType {
        /// The value: `CHAIN` or `RELEASE`.
        value: String,
    },
    /// The client library gives back every text as an empty one, as MariaDB Connector/C 3.3.19 does (measured). Refused: keys
    /// that are text, and with them the names of rows, would all be the same.
    TextIsLost,
    /// A replica of another server, whose locks it knows nothing of. Only sessions that lock on this server exclude each other.
    Replica,
    /// A server that takes no writes: a replica, or the reader of a managed service.
    ReadOnly,
    /// TiDB, by its documentation: locks hold across its cluster, but a wait takes 1 to 3,600 seconds,
    /// deadlocks are not detected, the holder of a lock is not reported, and a lock that is held for
    /// longer than `max-txn-ttl` (an hour) is lost.
    TiDb,
    /// Vitess, by its documentation: locks are on a connection of their own, and not on that of the transaction. Refused.
    Vitess,
    /// The server ignores the case of table names: `lower_case_table_names` is not 0, as on Windows
    /// and macOS. Names of locks are spelled as in `table!`, so a table that is spelled in two ways
    /// has two locks for each row.
    #[non_exhaustive]
    CaseInsensitiveTableNames {
        /// The value of `lower_case_table_names`: 1 or 2.
        lower_case_table_names: u8,
    },
    /// Sessions end before the longest hold does.
    #[non_exhaustive]
    ShortWaitTimeout {
        /// After what time without a word a session ends.
        wait_timeout: Duration,
        /// The keep-alive that the check was given.
        keep_alive: Duration,
    },
    /// Sessions that are idle in a transaction end before the longest hold does.
    #[non_exhaustive]
    ShortIdleTransactionTimeout {
        /// MariaDB's variable that says so.
        variable: String,
        /// After what time without a word a session ends.
        limit: Duration,
        /// The keep-alive that the check was given.
        keep_alive: Duration,
    },
    /// Something that this session cannot read, and that was therefore not checked.
    #[non_exhaustive]
    Unchecked {
        /// What was to be found out.
        what: &'static str,
        /// Which privilege or setting is required to read it.
        needs: &'static str,
    },
}

impl Finding {
    /// Whether locks do not hold there. Other findings are warnings.
    ///
    /// ```
    /// use diesel_advisory_lock::server::Finding;
    ///
    /// assert!(Finding::AutocommitOff.is_refusal());
    /// assert!(!Finding::Replica.is_refusal()); // a warning
    /// ```
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Finding::Galera { .. }
                | Finding::SeveralPrimaries
                | Finding::TooOld { .. }
                | Finding::AutocommitOff
                | Finding::CompletionType { .. }
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
            Finding::CompletionType { value } => {
                write!(f, "this session has completion_type = {value}: ")?;
                f.write_str(match &**value {
                    "RELEASE" => "every COMMIT ends the session, and its locks with it",
                    _ => {
                        "every COMMIT starts another transaction, which is open when a lock is \
                         released"
                    }
                })?;
                f.write_str("; `SET completion_type = NO_CHAIN`")
            }
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
            Finding::CaseInsensitiveTableNames {
                lower_case_table_names,
            } => write!(
                f,
                "ignores the case of table names (`lower_case_table_names` is \
                 {lower_case_table_names}), and names of locks do not: a table that is spelled in \
                 two ways has two locks for each row; write tables and schemas in lower case, in \
                 every `table!` and in the connection's URL, and name the schema in every `table!` \
                 of a table or in none",
            ),
            Finding::ShortWaitTimeout {
                wait_timeout,
                keep_alive,
            } => write!(
                f,
                "ends a session that is idle for {wait_timeout:?}, and a lock is to be held for up to {keep_alive:?}; \
                 ask for it with `.keep_alive(..)`, or raise `wait_timeout`",
            ),
            Finding::ShortIdleTransactionTimeout {
                variable,
                limit,
                keep_alive,
            } => write!(
                f,
                "ends a session that is idle in a transaction for {limit:?}, and a lock is to be held for up to \
                 {keep_alive:?}; raise `{variable}`, or do not be busy elsewhere in `.transaction(..)`",
            ),
            Finding::Unchecked { what, needs } => {
                write!(
                    f,
                    "not checked, since this session cannot read it: {what}; requires {needs}"
                )
            }
        }
    }
}
