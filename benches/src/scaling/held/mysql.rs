//! The C client on MariaDB and MySQL, and other locks that a session holds.

use std::ops::Range;

use anyhow::{Result, ensure};
use raw_client::{Session, Statement};

use crate::database::full_name;

pub(super) const RELEASE_ALL: &str = "DO RELEASE_ALL_LOCKS()";

/// Returns a statement that acquires locks that no other session takes.
pub(super) fn acquire_other(session: &str, ids: Range<usize>) -> String {
    let locks: Vec<_> = ids
        .map(|id| format!("GET_LOCK('{session}:{id}', 0)"))
        .collect();
    format!("DO {}", locks.join(", "))
}

pub(super) struct Client<'s> {
    session: &'s Session,
    get: Statement<'s>,
    release: Statement<'s>,
    name: String,
}

impl<'s> Client<'s> {
    /// It locks the row with this id.
    pub(super) fn new(session: &'s Session, id: i64) -> Result<Self> {
        Ok(Self {
            session,
            get: session.prepare("SELECT GET_LOCK(?, 45)")?,
            release: session.prepare("SELECT RELEASE_LOCK(?)")?,
            name: full_name(id),
        })
    }

    pub(super) fn acquire_other(&self, ids: Range<usize>) -> Result<()> {
        Ok(self.session.run(&acquire_other("client", ids))?)
    }

    pub(super) fn lock_and_unlock(&mut self) -> Result<()> {
        ensure!(self.get.ask(&self.name)? == Some(1), "not locked");
        ensure!(self.release.ask(&self.name)? == Some(1), "not released");
        Ok(())
    }

    pub(super) fn release_all(&self) -> Result<()> {
        Ok(self.session.run(RELEASE_ALL)?)
    }
}
