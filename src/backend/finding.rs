//! [`Finding`]: a property of a server that matters for locks.

use std::fmt;
use std::time::Duration;

/// A property of a server or session that matters for locks; see
/// [`ServerReport`](super::ServerReport).
///
/// A finding is a refusal if locks do not hold in spite of it ([`is_refusal`](Self::is_refusal)),
/// and a warning otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A node of a Galera cluster, such as MariaDB's or Percona XtraDB Cluster. Refused: locks are
    /// local to the node, so two nodes grant one lock at the same time.
    #[non_exhaustive]
    Galera {
        /// How many nodes there are, if the node is connected.
        nodes: Option<u32>,
    },
    /// A member of a replication group (Group Replication, InnoDB Cluster) with several primaries.
    /// Refused: locks are local to the member.
    SeveralPrimaries,
    /// A server on which a session can hold only one lock: the second releases the first. Refused.
    #[non_exhaustive]
    TooOld {
        /// The first version that can be used.
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
    /// The client library returns every text as an empty one, as MariaDB Connector/C 3.3.19 does
    /// (measured). Refused: all rows with a text key would have the same lock.
    TextIsLost,
    /// A replica, which does not share the locks of its source, such as a standby of PostgreSQL.
    /// Only sessions that lock on this server exclude each other.
    Replica,
    /// A server that accepts no writes: a replica, or the reader of a managed service.
    ReadOnly,
    /// TiDB, by its documentation. Locks hold across its cluster, but a wait takes 1 to 3,600
    /// seconds, deadlocks are not detected, and the holder of a lock is not reported. A lock that
    /// is held for longer than `max-txn-ttl` (an hour) is lost.
    TiDb,
    /// Vitess, by its documentation. Refused: locks are held on another connection than that of the
    /// transaction.
    Vitess,
    /// The server ignores the case of table names: `lower_case_table_names` is not 0, as on Windows
    /// and macOS. Names of locks are spelled as in `table!`, so a table that is spelled in two ways
    /// has two locks for each row.
    #[non_exhaustive]
    CaseInsensitiveTableNames {
        /// The value of `lower_case_table_names`: 1 or 2.
        lower_case_table_names: u8,
    },
    /// A pooler is between the client and PostgreSQL that gives each transaction or statement
    /// another session, as PgBouncer does with `pool_mode = transaction` or `statement`. Refused: a
    /// lock of the session stays in a session that the client has left.
    ///
    /// A pooler that no other client uses at the moment may go unnoticed, except PgBouncer 1.21 and
    /// later.
    #[non_exhaustive]
    TransactionPooling {
        /// How the pooler was recognized.
        sign: &'static str,
    },
    /// CockroachDB, by its documentation. Refused: it has the functions of advisory locks for
    /// compatibility, and they lock nothing.
    CockroachDb,
    /// YugabyteDB before version 2.25.1, by its documentation: it has no advisory locks.
    #[non_exhaustive]
    YugabyteDb {
        /// Whether the functions lock nothing and return no error, because of
        /// `yb_silence_advisory_locks_not_supported_error`. Refused then, and otherwise a warning,
        /// since every acquire returns an error.
        locks_nothing: bool,
    },
    /// PostgreSQL cancels statements after less than a second. The limit is lifted while a call
    /// waits for a lock, but not for other statements. If a release is cancelled, the session is
    /// ended.
    #[non_exhaustive]
    ShortStatementTimeout {
        /// The value of `statement_timeout`.
        statement_timeout: Duration,
    },
    /// PostgreSQL has less room for locks than with its default settings (6,400). Locks of all
    /// kinds, sessions and databases share it, and when it is full, hardly any statement can run.
    #[non_exhaustive]
    FewLocks {
        /// `max_locks_per_transaction * (max_connections + max_prepared_transactions)`.
        locks: u64,
    },
    /// The server ends idle sessions before the keep-alive of the check.
    #[non_exhaustive]
    ShortWaitTimeout {
        /// The setting that is the limit: `wait_timeout`, on PostgreSQL `idle_session_timeout`.
        setting: &'static str,
        /// For how long a session may be idle.
        wait_timeout: Duration,
        /// The keep-alive that the check was given.
        keep_alive: Duration,
    },
    /// The server ends sessions that are idle in a transaction before the keep-alive of the check.
    #[non_exhaustive]
    ShortIdleTransactionTimeout {
        /// The variable of MariaDB, or the setting of PostgreSQL, that is the limit.
        variable: String,
        /// For how long a session may be idle in a transaction.
        limit: Duration,
        /// The keep-alive that the check was given.
        keep_alive: Duration,
    },
    /// PostgreSQL 17 or later ends sessions whose transaction takes longer than a time that is
    /// shorter than the keep-alive of the check.
    #[non_exhaustive]
    ShortTransactionTimeout {
        /// The value of `transaction_timeout`.
        limit: Duration,
        /// The keep-alive that the check was given.
        keep_alive: Duration,
    },
    /// Something that this session cannot read, and that was therefore not checked.
    #[non_exhaustive]
    Unchecked {
        /// What was not checked.
        what: &'static str,
        /// Which privilege or setting is required to read it.
        needs: &'static str,
    },
}

impl Finding {
    /// Returns whether locks do not hold on the server. Other findings are warnings.
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
                | Finding::TransactionPooling { .. }
                | Finding::CockroachDb
                | Finding::YugabyteDb {
                    locks_nothing: true
                }
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
                    ": locks are local to the node, so two nodes grant one lock at the same time; \
                     connect all programs that lock to a single node, or use a separate server \
                     for locks",
                )
            }
            Finding::SeveralPrimaries => f.write_str(
                "a member of a replication group with several primaries: locks are local to the \
                 member; run the group with a single primary, and lock there",
            ),
            Finding::TooOld { needs } => write!(
                f,
                "too old: a session's second lock releases its first; upgrade to {needs} or later"
            ),
            Finding::AutocommitOff => f.write_str(
                "this session has autocommit off: locks would be released before the COMMIT; run \
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
                f.write_str("; run `SET completion_type = NO_CHAIN`")
            }
            Finding::TextIsLost => f.write_str(
                "the client library returns every text as an empty one, as MariaDB Connector/C \
                 3.3.19 does (Debian's libmariadb3 10.11.18); install a later version",
            ),
            Finding::Replica => f.write_str(
                "a replica, which does not share the locks of its source; lock on the server that \
                 you write to",
            ),
            Finding::ReadOnly => f.write_str(
                "accepts no writes, like a replica; lock on the server that you write to",
            ),
            Finding::TiDb => f.write_str(
                "TiDB waits for a lock for 1 to 3,600 seconds whatever the timeout, does not \
                 detect \
                 deadlocks, does not report the holder of a lock, and loses a lock that is held \
                 for longer than `max-txn-ttl` (an hour)",
            ),
            Finding::Vitess => f.write_str(
                "Vitess holds locks on another connection than the transaction's, so one may end \
                 without the other; use a separate server for locks",
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
            Finding::TransactionPooling { sign } => write!(
                f,
                "behind a pooler that gives each transaction or statement another session ({sign}), \
                 so that a lock stays in a session that the program has left; connect to the \
                 server itself, or to a pool in session mode (`pool_mode = session` of PgBouncer)",
            ),
            Finding::CockroachDb => f.write_str(
                "CockroachDB has the functions of advisory locks, but they lock nothing; use a \
                 separate server for locks",
            ),
            Finding::YugabyteDb { locks_nothing } => {
                f.write_str("YugabyteDB before 2.25.1 has no advisory locks: ")?;
                f.write_str(match locks_nothing {
                    true => "its functions lock nothing",
                    false => "acquiring one returns an error",
                })?;
                f.write_str("; upgrade to 2.25.1, 2025.1 or later")
            }
            Finding::ShortStatementTimeout { statement_timeout } => write!(
                f,
                "cancels a statement after {statement_timeout:?}, except while it waits for a \
                 lock: if the release of a lock is cancelled, the session is ended; raise \
                 `statement_timeout` to a second or more",
            ),
            Finding::FewLocks { locks } => write!(
                f,
                "has room for {locks} locks of all kinds, sessions and databases, and hardly any \
                 statement can run when it is full; raise `max_locks_per_transaction`, and lock \
                 large sets by one name",
            ),
            Finding::ShortWaitTimeout {
                setting,
                wait_timeout,
                keep_alive,
            } => write!(
                f,
                "ends a session that is idle for {wait_timeout:?}, which is less than the \
                 keep-alive of {keep_alive:?}; use `.keep_alive(..)`, or raise `{setting}`",
            ),
            Finding::ShortIdleTransactionTimeout {
                variable,
                limit,
                keep_alive,
            } => write!(
                f,
                "ends a session that is idle in a transaction for {limit:?}, which is less than \
                 the keep-alive of {keep_alive:?}; {}raise `{variable}`, or do slow work outside \
                 of `.transaction(..)`",
                // The keep-alive of a lock does not raise the variables of MariaDB.
                match variable.ends_with("_session_timeout") {
                    true => "use `.keep_alive(..)`, ",
                    false => "",
                }
            ),
            Finding::ShortTransactionTimeout { limit, keep_alive } => write!(
                f,
                "ends a session whose transaction takes longer than {limit:?}, which is less than \
                 the keep-alive of {keep_alive:?}; use `.keep_alive(..)`, raise \
                 `transaction_timeout`, or do slow work outside of `.transaction(..)`",
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
