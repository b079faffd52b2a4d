use anyhow::{Result, ensure};
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use super::{Load, Locker, Outcome};
use crate::database::{Endpoint, written};

#[diesel::declare_sql_function]
extern "SQL" {
    fn get_lock(name: Text, seconds: Integer) -> Nullable<BigInt>;
    fn release_lock(name: Text) -> Nullable<BigInt>;
}

/// The same two statements as the floor's, as Diesel prepares and keeps them: nothing that goes through Diesel can be quicker.
pub(crate) struct DieselSelect<'a>(pub(crate) Endpoint<'a>);

impl Locker for DieselSelect<'_> {
    fn name(&self) -> String {
        "diesel::select, prepared once".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(written);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, turns| {
                turns.asks();
                let got: Option<i64> =
                    diesel::select(get_lock(&names[name], 45)).get_result(conn)?;
                ensure!(got == Some(1), "not locked");
                turns.holds();
                let gone: Option<i64> =
                    diesel::select(release_lock(&names[name])).get_result(conn)?;
                ensure!(gone == Some(1), "not released");
                Ok(())
            })
        })
    }
}
