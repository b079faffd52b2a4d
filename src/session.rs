//! [`Session`]: a session that holds a lock or waits for one, as the server reports it.

use std::fmt;
use std::time::Duration;

/// A session of the server that holds a lock or waits for one.
///
/// ```
/// # include!("doctest_setup.rs");
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// # let other = &mut establish_connection();
/// # let held = LockName::named("job").lock().acquire(other)?;
/// let error = LockName::named("job").lock().no_wait().acquire(&mut conn).unwrap_err();
/// let holder = error.holder().expect("it is held");
/// println!("{holder}"); // connection 42 (app@10.0.0.3:51234, idle for 3 s)
/// println!("KILL {}", holder.connection_id);
/// if let Some(sql) = holder.activity.as_ref().and_then(|activity| activity.statement.as_ref()) {
///     println!("{sql}"); // may contain personal data: for a screen, not for a log
/// }
/// # drop(held);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The session's `CONNECTION_ID()`, which `KILL` takes. On PostgreSQL it is the
    /// `pg_backend_pid()` that `pg_terminate_backend` takes; 0 for a
    /// [prepared transaction][prepared], which holds its locks without a session.
    ///
    /// [prepared]: https://www.postgresql.org/docs/18/view-pg-prepared-xacts.html
    pub connection_id: u64,
    /// What the session is doing. `None` if the session has ended meanwhile, or if the account may
    /// not see it: sessions of other accounts require the privilege `PROCESS`. On PostgreSQL they
    /// require the role `pg_read_all_stats`.
    pub activity: Option<Activity>,
}

/// What a session was doing when the server was asked.
///
/// `Debug` prints the length of the statement instead of its text, also within other types such as
/// [`LockError`](crate::LockError). A statement may contain passwords or card numbers, and
/// `unwrap`, `?` in `main` and loggers print `Debug`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// The name of its account.
    pub user: String,
    /// The host that it connects from. Only some of the servers' tables report the port. On
    /// PostgreSQL it is `local` for a Unix socket.
    pub host: String,
    /// For how long it has been idle or in its current statement, in whole seconds. For a waiter on
    /// PostgreSQL 14 and later, for how long it has waited for the lock.
    pub elapsed: Duration,
    /// The first 1,000 characters of its statement; `None` if it is idle. PostgreSQL keeps the
    /// first `track_activity_query_size` bytes (1,024 by default). Neither `Display` nor
    /// `Debug` prints it.
    pub statement: Option<String>,
}

impl Session {
    pub(crate) fn new(connection_id: u64, activity: Option<Activity>) -> Self {
        Session {
            connection_id,
            activity,
        }
    }
}

/// Without the statement, which may contain data that must not be logged.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.connection_id)?;
        match &self.activity {
            Some(activity) => write!(f, " ({activity})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Activity { user, host, .. } = self;
        let doing = match self.statement {
            Some(_) => "in a statement",
            None => "idle",
        };
        write!(f, "{user}@{host}, {doing} for {} s", self.elapsed.as_secs())
    }
}

/// Without the text of the statement.
impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statement = self.statement.as_deref().map(Redacted);
        f.debug_struct("Activity")
            .field("user", &self.user)
            .field("host", &self.host)
            .field("elapsed", &self.elapsed)
            .field("statement", &statement)
            .finish()
    }
}

/// A text whose length is printed instead of it.
struct Redacted<'t>(&'t str);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} characters, not shown>", self.0.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_of_a_session_omits_its_statement() {
        let activity = Activity {
            user: "app".into(),
            host: "10.0.0.3:51234".into(),
            elapsed: Duration::from_secs(3),
            statement: Some("UPDATE cards SET number = '4111'".into()),
        };
        let idle = Activity {
            statement: None,
            ..activity.clone()
        };
        let display = |activity| Session::new(42, activity).to_string();
        assert_eq!(display(None), "connection 42");
        assert_eq!(
            display(Some(idle)),
            "connection 42 (app@10.0.0.3:51234, idle for 3 s)"
        );
        assert_eq!(
            display(Some(activity)),
            "connection 42 (app@10.0.0.3:51234, in a statement for 3 s)"
        );
    }

    #[test]
    fn debug_output_of_a_session_counts_the_characters_of_its_statement() {
        let activity = Activity {
            user: "app".into(),
            host: "10.0.0.3".into(),
            elapsed: Duration::from_secs(3),
            statement: Some("UPDATE users SET name = 'Zoë'".into()),
        };
        let idle = Activity {
            statement: None,
            ..activity.clone()
        };
        assert_eq!(
            format!("{:?}", Session::new(42, Some(activity))),
            "Session { connection_id: 42, activity: Some(Activity { user: \"app\", \
             host: \"10.0.0.3\", elapsed: 3s, statement: Some(<29 characters, not shown>) }) }"
        );
        assert!(format!("{idle:?}").ends_with("statement: None }"));
    }
}
