//! What can end the program, and how it is told.

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
