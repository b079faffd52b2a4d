//! What the coordinator and a worker say to each other, a line at a time.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

/// From the coordinator, on the worker's standard input. When it ends, so does the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Connect, and load these notifications: `load 1,2,3`.
    Load(Vec<i64>),
    /// Start sending: `go`.
    Go,
}

/// From a worker, on its standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// All threads have loaded all rows: `ready`.
    Ready,
    /// A thread has tried to send a notification: `sent 17 1250`, the wait in microseconds.
    Attempt(Attempt),
    /// The worker gives up: `failed <why>`.
    Failed(String),
}

/// One call of `send` for one notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) outcome: Outcome,
    pub(crate) notification: i64,
    /// From asking for the lock until it was held and the row was read again.
    pub(crate) waited: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It sent the mail.
    Sent,
    /// It found that the mail had been sent.
    Refused,
    /// It did not get the lock in time.
    TimedOut,
}

/// A line that is not in the protocol.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not understood")]
pub(crate) struct UnknownLine(String);

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(ids) => {
                let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
                write!(f, "load {}", ids.join(","))
            }
            Self::Go => f.write_str("go"),
        }
    }
}

impl FromStr for Order {
    type Err = UnknownLine;

    fn from_str(line: &str) -> Result<Self, UnknownLine> {
        let unknown = |_: ParseIntError| UnknownLine(line.to_owned());
        match line.split_once(' ') {
            None if line == "go" => Ok(Self::Go),
            Some(("load", ids)) => {
                let ids: Result<_, _> = ids.split(',').map(str::parse).collect();
                Ok(Self::Load(ids.map_err(unknown)?))
            }
            _ => Err(UnknownLine(line.to_owned())),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Attempt(attempt) => {
                let word = match attempt.outcome {
                    Outcome::Sent => "sent",
                    Outcome::Refused => "refused",
                    Outcome::TimedOut => "timed-out",
                };
                let micros = attempt.waited.as_micros();
                write!(f, "{word} {} {micros}", attempt.notification)
            }
            // An error's text may have several lines.
            Self::Failed(why) => {
                let lines: Vec<_> = why.lines().map(str::trim).collect();
                write!(f, "failed {}", lines.join("; "))
            }
        }
    }
}

impl FromStr for Report {
    type Err = UnknownLine;

    fn from_str(line: &str) -> Result<Self, UnknownLine> {
        let unknown = || UnknownLine(line.to_owned());
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let outcome = match word {
            "ready" if rest.is_empty() => return Ok(Self::Ready),
            "failed" => return Ok(Self::Failed(rest.to_owned())),
            "sent" => Outcome::Sent,
            "refused" => Outcome::Refused,
            "timed-out" => Outcome::TimedOut,
            _ => return Err(unknown()),
        };
        let (notification, micros) = rest.split_once(' ').ok_or_else(unknown)?;
        Ok(Self::Attempt(Attempt {
            outcome,
            notification: notification.parse().map_err(|_| unknown())?,
            waited: Duration::from_micros(micros.parse().map_err(|_| unknown())?),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for order in [Order::Load(vec![1]), Order::Load(vec![3, 5, 7]), Order::Go] {
            assert_eq!(order.to_string().parse::<Order>().ok(), Some(order));
        }
        let attempt = |outcome| {
            Report::Attempt(Attempt {
                outcome,
                notification: 17,
                waited: Duration::from_micros(1250),
            })
        };
        for report in [
            Report::Ready,
            attempt(Outcome::Sent),
            attempt(Outcome::Refused),
            attempt(Outcome::TimedOut),
            Report::Failed("the mail server is gone".to_owned()),
        ] {
            assert_eq!(report.to_string().parse::<Report>().ok(), Some(report));
        }
    }

    #[test]
    fn a_report_is_one_line() {
        let report = Report::Failed("two\n  lines".to_owned());
        assert_eq!(report.to_string(), "failed two; lines");
    }

    #[test]
    fn unknown_lines_are_errors() {
        for line in ["", "load", "load ", "load 1,x", "go now", "stop"] {
            assert!(line.parse::<Order>().is_err(), "{line}");
        }
        for line in [
            "",
            "ready 1",
            "sent",
            "sent 1",
            "sent x 1",
            "sent 1 -1",
            "lost 1 1",
        ] {
            assert!(line.parse::<Report>().is_err(), "{line}");
        }
    }
}
