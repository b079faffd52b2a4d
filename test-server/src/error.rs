//! Errors whose messages explain a failed test run.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitStatus;

/// A program is missing. The message says in two lines what is missing and how to install
/// it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{missing}\n{remedy}")]
pub struct NotInstalled {
    pub(crate) missing: String,
    pub(crate) remedy: &'static str,
}

/// A server did not start. If the server wrote a log, the message ends with its last lines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The server's program is missing.
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),

    /// The data directory that is copied for each server could not be created.
    #[error("cannot create the data directory of {server}: {status}\n{output}")]
    Template {
        server: String,
        status: ExitStatus,
        output: LogTail,
    },

    /// Another process bound each port that was tried, after it had been chosen.
    #[error("{server} found its port taken\n{log}")]
    PortTaken { server: String, log: LogTail },

    /// The server ended before it was ready.
    #[error("{server} ended before it was ready: {status}\n{log}")]
    Exited {
        server: String,
        status: ExitStatus,
        log: LogTail,
    },

    /// The server runs and does not answer.
    #[error("{server} was not ready after {seconds} s\n{log}")]
    TimedOut {
        server: String,
        seconds: u64,
        log: LogTail,
    },

    /// A file or a process could not be handled.
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
}

impl StartError {
    /// For `map_err`: `what` could not be done.
    pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The last lines of a log.
#[derive(Debug)]
pub struct LogTail(String);

impl LogTail {
    const LINES: usize = 40;

    pub(crate) fn of_text(text: &str) -> Self {
        let lines: Vec<_> = text.lines().collect();
        let first = lines.len().saturating_sub(Self::LINES);
        Self(lines[first..].join("\n"))
    }

    pub(crate) fn of_file(path: &Path) -> Self {
        match std::fs::read(path) {
            Ok(bytes) => Self::of_text(&String::from_utf8_lossy(&bytes)),
            Err(error) => Self(format!("(no log at {}: {error})", path.display())),
        }
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }
}

impl fmt::Display for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_log_is_cut_to_its_last_lines() {
        let log: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        let tail = LogTail::of_text(&log).to_string();
        assert!(tail.starts_with("line 61\n"), "{tail}");
        assert!(tail.ends_with("line 100"), "{tail}");
    }

    #[test]
    fn short_log_is_kept_whole() {
        assert_eq!(LogTail::of_text("one\ntwo\n").to_string(), "one\ntwo");
    }
}
