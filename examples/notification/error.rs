//! What can end the program, and how it is told.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitStatus;

use crate::database::DatabaseError;
use crate::mail::MailError;
use crate::outbox::OutboxError;
use crate::protocol::UnknownLine;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Database(#[from] DatabaseError),

    #[error(transparent)]
    Mail(#[from] MailError),

    #[error(transparent)]
    Outbox(#[from] OutboxError),

    #[error("cannot start a worker process")]
    Spawn(#[source] io::Error),

    #[error("cannot talk to worker {number}")]
    Pipe { number: u32, source: io::Error },

    #[error("worker {number} sent a line that is not in the protocol")]
    Line { number: u32, source: UnknownLine },

    #[error("worker {number} failed: {why}")]
    WorkerFailed { number: u32, why: String },

    #[error("worker {number} died ({status}) after {attempts} attempts")]
    WorkerDied {
        number: u32,
        status: ExitStatus,
        attempts: usize,
    },
}

/// Shows an error with all that caused it.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn StdError);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some errors repeat their source in their own text.
            if !shown.contains(&text) {
                write!(f, "\n  because: {text}")?;
            }
            shown = text;
            next = cause.source();
        }
        Ok(())
    }
}
