use anyhow::Result;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};

use super::{Load, Locker, Outcome, poll};
use crate::database::{Endpoint, claims, written};

/// A row for each name that is locked: who can insert it has the lock.
pub(crate) struct LockTable<'a>(pub(crate) Endpoint<'a>);

impl Locker for LockTable<'_> {
    fn name(&self) -> String {
        "a row of a lock table".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(written);
        // Whoever failed in a run before left its row.
        diesel::delete(claims::table).execute(&mut self.0.connect()?)?;
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, turns| {
                let name = &names[name];
                turns.asks();
                poll::until(|| {
                    let claim = diesel::insert_into(claims::table).values(claims::name.eq(name));
                    succeeded(claim.execute(conn))
                })?;
                turns.holds();
                poll::until(|| succeeded(diesel::delete(claims::table.find(name)).execute(conn)))
            })
        })
    }
}

/// Somebody else's row is there; or InnoDB took those who insert it for a deadlock, which it does of itself when the row
/// of a third is just being deleted.
fn succeeded(result: QueryResult<usize>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Error::DatabaseError(
            DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::SerializationFailure,
            _,
        )) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
