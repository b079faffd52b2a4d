use anyhow::{Context, Result};
use diesel::prelude::*;

use super::{Load, Locker, Outcome};
use crate::database::{Account, Endpoint, accounts};

/// The row lock that every database has, for as long as a transaction is open.
pub(crate) struct ForUpdate<'a>(pub(crate) Endpoint<'a>);

impl Locker for ForUpdate<'_> {
    fn name(&self) -> String {
        "BEGIN, FOR UPDATE, COMMIT".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let ids = load.names(|id| id);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, turns| {
                turns.asks();
                let locked = conn.transaction(|conn| {
                    accounts::table
                        .find(ids[name])
                        .select(Account::as_select())
                        .for_update()
                        .first(conn)?;
                    turns.holds();
                    QueryResult::Ok(())
                });
                locked.context("FOR UPDATE")
            })
        })
    }
}
