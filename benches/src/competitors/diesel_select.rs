use anyhow::{Result, ensure};
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use super::{Competitor, Load, Outcome};
use crate::database::{Endpoint, full_name};

#[diesel::declare_sql_function]
extern "SQL" {
    fn get_lock(name: Text, seconds: Integer) -> Nullable<BigInt>;
    fn release_lock(name: Text) -> Nullable<BigInt>;
}

/// The two functions through Diesel, prepared once: a lower bound for anything that uses Diesel.
pub(crate) struct DieselSelect<'a>(pub(crate) Endpoint<'a>);

impl Competitor for DieselSelect<'_> {
    fn name(&self) -> String {
        "diesel::select, prepared once".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(full_name);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, recorder| {
                recorder.requested();
                let got: Option<i64> =
                    diesel::select(get_lock(&names[name], 45)).get_result(conn)?;
                ensure!(got == Some(1), "not locked");
                recorder.acquired();
                let gone: Option<i64> =
                    diesel::select(release_lock(&names[name])).get_result(conn)?;
                ensure!(gone == Some(1), "not released");
                Ok(())
            })
        })
    }
}
