use anyhow::{Result, ensure};
use mysql::Conn;
use mysql::prelude::Queryable as _;

use super::{Competitor, Load, Outcome};
use crate::database::{Endpoint, full_name};

/// The `mysql` crate, a client without Diesel and without C.
pub(crate) struct MysqlCrate<'a>(pub(crate) Endpoint<'a>);

impl Competitor for MysqlCrate<'_> {
    fn name(&self) -> String {
        "mysql crate, prepared".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(full_name);
        let options = self.0.options()?;
        load.in_threads(load.threads, |thread| {
            let mut conn = Conn::new(options.clone())?;
            let get = conn.prep("SELECT GET_LOCK(?, 45)")?;
            let release = conn.prep("SELECT RELEASE_LOCK(?)")?;
            thread.repeat(|name, recorder| {
                let name = (names[name].as_str(),);
                recorder.requested();
                let got: Option<Option<i64>> = conn.exec_first(&get, name)?;
                ensure!(got == Some(Some(1)), "not locked");
                recorder.acquired();
                let gone: Option<Option<i64>> = conn.exec_first(&release, name)?;
                ensure!(gone == Some(Some(1)), "not released");
                Ok(())
            })
        })
    }
}
