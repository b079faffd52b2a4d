use anyhow::{Result, ensure};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{Endpoint, lock_key};

/// `diesel::sql_query`, which has the server parse each statement anew.
pub(crate) struct SqlQuery<'a>(pub(crate) Endpoint<'a>);

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    answer: bool,
}

impl Competitor for SqlQuery<'_> {
    fn name(&self) -> String {
        "sql_query by hand".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let keys = load.names(lock_key);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, recorder| {
                recorder.requested();
                diesel::sql_query("SELECT pg_advisory_lock($1)")
                    .bind::<BigInt, _>(keys[name])
                    .execute(conn)?;
                recorder.acquired();
                let gone: Answer = diesel::sql_query("SELECT pg_advisory_unlock($1) AS answer")
                    .bind::<BigInt, _>(keys[name])
                    .get_result(conn)?;
                ensure!(gone.answer, "not released");
                Ok(())
            })
        })
    }
}
