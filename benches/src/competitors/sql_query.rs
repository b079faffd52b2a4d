use anyhow::{Result, ensure};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::{Competitor, Load, Outcome};
use crate::database::{Endpoint, full_name};

/// `diesel::sql_query`, which prepares each statement anew.
pub(crate) struct SqlQuery<'a>(pub(crate) Endpoint<'a>);

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<BigInt>)]
    answer: Option<i64>,
}

impl Competitor for SqlQuery<'_> {
    fn name(&self) -> String {
        "sql_query by hand".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(full_name);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, recorder| {
                let name = &names[name];
                recorder.requested();
                let got: Answer = diesel::sql_query("SELECT GET_LOCK(?, ?) AS answer")
                    .bind::<Text, _>(name)
                    .bind::<Integer, _>(45)
                    .get_result(conn)?;
                ensure!(got.answer == Some(1), "not locked");
                recorder.acquired();
                let gone: Answer = diesel::sql_query("SELECT RELEASE_LOCK(?) AS answer")
                    .bind::<Text, _>(name)
                    .get_result(conn)?;
                ensure!(gone.answer == Some(1), "not released");
                Ok(())
            })
        })
    }
}
