use anyhow::{Context, Result};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{connect, runtime};
use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{Account, Endpoint, accounts};

/// A row lock through diesel-async, held until the transaction ends.
pub(crate) struct ForUpdate<'a>(pub(crate) Endpoint<'a>);

impl Competitor for ForUpdate<'_> {
    fn name(&self) -> String {
        "BEGIN, FOR UPDATE, COMMIT".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let ids = load.names(|id| id);
        load.in_threads(load.threads, |thread| {
            let runtime = runtime()?;
            let conn = &mut connect(&runtime, self.0)?;
            thread.repeat(|name, recorder| {
                recorder.requested();
                let locked = conn.transaction(async |conn| {
                    accounts::table
                        .find(ids[name])
                        .select(Account::as_select())
                        .for_update()
                        .first(conn)
                        .await?;
                    recorder.acquired();
                    QueryResult::Ok(())
                });
                runtime.block_on(locked).context("FOR UPDATE")
            })
        })
    }
}
