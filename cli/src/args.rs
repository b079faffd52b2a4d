//! The arguments, and the help.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
Exit codes:
  0  success: see the help of each command for what else it returns
  2  wrong arguments, no connection, a missing privilege, or a failed statement

Examples:
  export DATABASE_URL=mysql://root@127.0.0.1/app
  diesel-lock list                                 All locks, in a table
  diesel-lock list --json | jq -r '.[].name'       All locks, for a program
  diesel-lock who a172cedc/notifications:42        The holder of a lock
  diesel-lock who notifications:42                 The same, in the schema of the connection
  diesel-lock end a172cedc/notifications:42        End the session of the holder
  diesel-lock key notifications:42 --schema app    The name and PostgreSQL's key of a row's lock";

/// Lists advisory locks of diesel-advisory-lock on MySQL, MariaDB and PostgreSQL, with their
/// holders and waiters, and ends stuck sessions
#[derive(Parser)]
#[command(name = "diesel-lock", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// The server: mysql://user:password@host/database, or postgres://.. Prefer the variable: other
    /// users of the machine can see arguments
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        global = true
    )]
    pub(crate) database_url: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the locks that are held, with their holders and waiters
    #[command(after_help = LIST_HELP)]
    List(List),

    /// List them repeatedly. In a pipe, print a line for each change
    #[command(after_help = WATCH_HELP)]
    Watch(Watch),

    /// Print which session holds a lock, and which sessions wait for it
    #[command(after_help = WHO_HELP)]
    Who(Who),

    /// Check whether locks hold on the server
    #[command(after_help = CHECK_HELP)]
    Check(Check),

    /// End the session that holds a lock, so that the lock becomes free
    #[command(after_help = END_HELP)]
    End(End),

    /// Print the full name of a lock, and its key on PostgreSQL. Needs no server
    #[command(after_help = KEY_HELP)]
    Key(Key),
}

const LIST_HELP: &str = "\
On MySQL and MariaDB the list has the locks of this crate on the whole server. On PostgreSQL it has
all advisory locks of the connection's database. PostgreSQL knows a lock by its key: it is listed by
its name if a session waits, or has waited as its last statement.

Needed privileges:
  MySQL       SELECT on performance_schema.metadata_locks and performance_schema.threads
  MariaDB     the plugin metadata_lock_info; PROCESS for waiters, and for sessions of other accounts
  PostgreSQL  none; pg_read_all_stats for what sessions of other roles do

In a terminal, times of MySQL and PostgreSQL have a `≥`: these servers report only for how long the
holder has been idle or in its statement.

In a pipe, each lock is a line of fields that tabs separate. `-` is an unknown value:
  name, schema, mode (exclusive or shared), connection of the holder (commas between several),
  user@host of the first holder, milliseconds for which it has held the lock (at least, except on
  MariaDB), connections of the waiters (commas between them)

With --json, the output is an array of objects:
  name           the full name; on PostgreSQL the key, if the name is not known
  schema         the schema; empty without one; null if the account sees none with this hash
  postgres_key   the key as text, since it has 64 bits; null on other servers
  mode           exclusive or shared
  held_ms        for how long the first holder has held it, or null
  held_is_exact  whether held_ms is exact (MariaDB), and not the least possible value
  holders        the sessions that hold it
  waiters        the sessions that wait for it, the longest wait first
Each session:
  connection     the id for KILL or pg_terminate_backend; 0 is a prepared transaction
  user, host     null if the account may not see the session
  state          idle, statement, or null
  state_ms       for how long, of a waiter on PostgreSQL for how long it has waited
  statement      only with --statements

Exit code: 0, also if no lock is held.";

const WATCH_HELP: &str = "\
In a pipe, each change is a line of fields that tabs separate:
  time (UTC), change (held, released, waiting, left), name, connection, user@host

`left` is a session that no longer waits and did not get the lock. A lock that is held for less than
the interval may not be seen. After an error, watch connects again in each interval; an error at the
start ends it. Ctrl-C or the end of the pipe's reader ends it.";

const WHO_HELP: &str = "\
The output is that of `list`, for one lock.

Exit codes:
  0  the lock is held
  1  the lock is free
  2  an error";

const CHECK_HELP: &str = "\
Exit codes:
  0  locks hold on this server; there may be warnings
  1  refused: locks do not hold on this server
  2  an error: nothing is known
  3  with --strict: locks hold, and there are warnings";

const END_HELP: &str = "\
Prints the holder and asks before it ends the session. The server rolls back the open transaction of
the session, and releases all of its locks. If several sessions share the lock, all are ended. A
session that no longer holds the lock when you answer is not ended.

Needed privileges, for sessions of other accounts:
  MySQL       CONNECTION_ADMIN (SUPER before 8.0)
  MariaDB     CONNECTION ADMIN (SUPER before 10.5)
  PostgreSQL  pg_signal_backend, or membership in the role of the session

Exit codes:
  0  the session is ended, and no longer holds the lock
  1  the lock is free: there was no session to end
  2  an error: also without --yes if the input is not a terminal
  3  no session was ended: the answer was no, or another session has the lock meanwhile
  4  the session has not released the lock within --wait; the server may be rolling back";

const KEY_HELP: &str = "\
In the view pg_locks, the columns classid, objid and objsubid contain the key.

Examples:
  diesel-lock key notifications:42                         A row in the schema public
  diesel-lock key documents --row Alice --scope send       A row whose key is any text
  diesel-lock key memberships --row 7 --row alice          A composite key
  diesel-lock key --named 'Nightly report' --schema app    A named lock; the schema is MySQL's";

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Args)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the statements of the sessions in the table and in JSON. They may contain personal data
    #[arg(long)]
    pub(crate) statements: bool,
}

#[derive(Args)]
pub(crate) struct Watch {
    /// The time between two looks at the server
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,

    /// Print a JSON object for each change, in a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Who {
    #[command(flatten)]
    pub(crate) name: Name,

    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Args)]
pub(crate) struct Check {
    /// The longest time for which a program holds a lock without a statement, such as 10m or 2h: warn
    /// of shorter idle timeouts of the server
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) keep_alive: Option<Duration>,

    /// Return 3 if there are warnings
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Args)]
pub(crate) struct End {
    #[command(flatten)]
    pub(crate) name: Name,

    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// For how long to wait until the session has released the lock
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) wait: Duration,
}

#[derive(Args)]
pub(crate) struct Key {
    #[command(flatten)]
    pub(crate) name: Name,
}

/// The name of a lock.
#[derive(Args)]
#[group(skip)]
pub(crate) struct Name {
    /// The full name as `list` prints it (a172cedc/notifications:42); the name without the part
    /// before the slash, as errors print it (notifications:42#send, =nightly-report); or a key of
    /// PostgreSQL (4878127644074511631, or 7,-2). Anything else is the name of another program's lock
    #[arg(allow_hyphen_values = true)]
    pub(crate) name: String,

    /// NAME is a table, and this the key of its row, as text. Repeat it for a composite key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, group = "kind")]
    pub(crate) row: Vec<String>,

    /// NAME is a table, and the lock that of the whole table
    #[arg(long, group = "kind")]
    pub(crate) table: bool,

    /// NAME is that of a named lock: `LockName::named`
    #[arg(long, group = "kind")]
    pub(crate) named: bool,

    /// NAME is sent unchanged: `LockName::exact`
    #[arg(long, conflicts_with_all = ["kind", "schema", "namespace"])]
    pub(crate) exact: bool,

    /// The scope of the lock
    #[arg(long, requires = "kind")]
    pub(crate) scope: Option<String>,

    /// The schema of the table; on MySQL and MariaDB also that of a named lock [default: of the
    /// connection; for `key` public]
    #[arg(long)]
    pub(crate) schema: Option<String>,

    /// The namespace, if the program calls `.namespace("..")`
    #[arg(long, conflicts_with = "schema")]
    pub(crate) namespace: Option<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time >= Duration::from_millis(50) => Ok(time),
        Ok(_) => Err("the shortest time is 0.05 seconds".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        for wrong in ["", "0", "-1", "NaN", "1e99", "1s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
