use anyhow::{Context, Result};
use diesel::prelude::*;

use super::{Competitor, Load, Outcome};
use crate::database::{Account, Endpoint, accounts};

/// A row lock, held until the transaction ends.
pub(crate) struct ForUpdate<'a>(pub(crate) Endpoint<'a>);

impl Competitor for ForUpdate<'_> {
    fn name(&self) -> String {
        "BEGIN, FOR UPDATE, COMMIT".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let ids = load.names(|id| id);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, recorder| {
                recorder.requested();
                let locked = conn.transaction(|conn| {
                    accounts::table
                        .find(ids[name])
                        .select(Account::as_select())
                        .for_update()
                        .first(conn)?;
                    recorder.acquired();
                    QueryResult::Ok(())
                });
                locked.context("FOR UPDATE")
            })
        })
    }
}
