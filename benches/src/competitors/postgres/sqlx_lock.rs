use anyhow::Result;
use sqlx::postgres::{PgAdvisoryLock, PgAdvisoryLockKey};
use sqlx::{Connection, PgConnection};
use tokio::runtime::Builder;

use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{Endpoint, lock_key};

/// `sqlx::PgAdvisoryLock`, on a connection and a runtime for each thread.
pub(crate) struct SqlxLock<'a>(pub(crate) Endpoint<'a>);

impl Competitor for SqlxLock<'_> {
    fn name(&self) -> String {
        "sqlx::PgAdvisoryLock".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let locks =
            load.names(|id| PgAdvisoryLock::with_key(PgAdvisoryLockKey::BigInt(lock_key(id))));
        let url = self.0.sqlx_url()?;
        load.in_threads(load.threads, |thread| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let mut conn = runtime.block_on(PgConnection::connect(&url))?;
            thread.repeat(|name, recorder| {
                runtime.block_on(async {
                    recorder.requested();
                    let guard = locks[name].acquire(&mut conn).await?;
                    recorder.acquired();
                    guard.release_now().await?;
                    Ok(())
                })
            })
        })
    }
}
