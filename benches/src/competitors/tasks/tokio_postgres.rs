use anyhow::{Result, ensure};
use tokio_postgres::NoTls;

use super::runtime;
use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{Endpoint, lock_key};

/// `tokio-postgres` with two prepared statements: a lower bound for anything that uses it.
pub(crate) struct Client<'a>(pub(crate) Endpoint<'a>);

impl Competitor for Client<'_> {
    fn name(&self) -> String {
        "tokio-postgres, prepared".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let keys = load.names(lock_key);
        let url = self.0.async_url()?;
        load.in_threads(load.threads, |thread| {
            let runtime = runtime()?;
            let (client, connection) = runtime.block_on(tokio_postgres::connect(&url, NoTls))?;
            runtime.spawn(connection);
            let lock = runtime.block_on(client.prepare("SELECT pg_advisory_lock($1)"))?;
            let unlock = runtime.block_on(client.prepare("SELECT pg_advisory_unlock($1)"))?;
            thread.repeat(|name, recorder| {
                let key = &keys[name];
                runtime.block_on(async {
                    recorder.requested();
                    client.query_one(&lock, &[key]).await?;
                    recorder.acquired();
                    let gone = client.query_one(&unlock, &[key]).await?;
                    ensure!(gone.try_get::<_, bool>(0)?, "not released");
                    Ok(())
                })
            })
        })
    }
}
