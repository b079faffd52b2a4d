//! libpq on PostgreSQL, and other locks that a session holds.

use std::ops::Range;

use anyhow::{Result, ensure};
use raw_client::postgres::Session;

use crate::database::lock_key;

pub(super) const RELEASE_ALL: &str = "SELECT pg_advisory_unlock_all()";

/// Returns a statement that acquires locks that no other session takes: those of two numbers.
pub(super) fn acquire_other(session: &str, ids: Range<usize>) -> String {
    let Range { start, end } = ids;
    format!(
        "SELECT pg_advisory_lock(hashtext('{session}'), id)
         FROM generate_series({start}, {end} - 1) AS id"
    )
}

pub(super) struct Client<'s> {
    session: &'s Session,
    key: i64,
}

impl<'s> Client<'s> {
    /// It locks the row with this id.
    pub(super) fn new(session: &'s Session, id: i64) -> Result<Self> {
        session.prepare(c"lock", c"SELECT pg_try_advisory_lock($1)")?;
        session.prepare(c"unlock", c"SELECT pg_advisory_unlock($1)")?;
        let key = lock_key(id);
        Ok(Self { session, key })
    }

    pub(super) fn acquire_other(&self, ids: Range<usize>) -> Result<()> {
        Ok(self.session.run(&acquire_other("client", ids))?)
    }

    pub(super) fn lock_and_unlock(&mut self) -> Result<()> {
        ensure!(self.session.ask(c"lock", self.key)?, "not locked");
        ensure!(self.session.ask(c"unlock", self.key)?, "not released");
        Ok(())
    }

    pub(super) fn release_all(&self) -> Result<()> {
        Ok(self.session.run(RELEASE_ALL)?)
    }
}
