use anyhow::{Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::runtime;
use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{Endpoint, full_name};

/// `mysql_async` with two prepared statements: a lower bound for anything that uses it.
pub(crate) struct Client<'a>(pub(crate) Endpoint<'a>);

impl Competitor for Client<'_> {
    fn name(&self) -> String {
        "mysql_async, prepared".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(full_name);
        let url = self.0.async_url()?;
        load.in_threads(load.threads, |thread| {
            let runtime = runtime()?;
            let mut conn = runtime.block_on(Conn::from_url(&url))?;
            let get = runtime.block_on(conn.prep("SELECT GET_LOCK(?, 45)"))?;
            let release = runtime.block_on(conn.prep("SELECT RELEASE_LOCK(?)"))?;
            thread.repeat(|name, recorder| {
                let name = (&names[name],);
                runtime.block_on(async {
                    recorder.requested();
                    let got: Option<Option<i64>> = conn.exec_first(&get, name).await?;
                    ensure!(got == Some(Some(1)), "not locked");
                    recorder.acquired();
                    let gone: Option<Option<i64>> = conn.exec_first(&release, name).await?;
                    ensure!(gone == Some(Some(1)), "not released");
                    Ok(())
                })
            })
        })
    }
}
