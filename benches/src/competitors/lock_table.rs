use anyhow::Result;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};

use super::{Competitor, Load, Outcome, poll};
use crate::database::{Endpoint, claims, full_name};

/// A table with a row for each locked name: the session that inserts the row holds the lock.
pub(crate) struct LockTable<'a>(pub(crate) Endpoint<'a>);

impl Competitor for LockTable<'_> {
    fn name(&self) -> String {
        "a row of a lock table".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(full_name);
        // A failed run may have left rows.
        diesel::delete(claims::table).execute(&mut self.0.connect()?)?;
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, recorder| {
                let name = &names[name];
                recorder.requested();
                poll::until(|| {
                    let claim = diesel::insert_into(claims::table).values(claims::name.eq(name));
                    succeeded(claim.execute(conn))
                })?;
                recorder.acquired();
                poll::until(|| succeeded(diesel::delete(claims::table.find(name)).execute(conn)))
            })
        })
    }
}

/// Returns `false` if another session holds the lock. InnoDB also reports a deadlock between
/// inserts while the row is being deleted.
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
