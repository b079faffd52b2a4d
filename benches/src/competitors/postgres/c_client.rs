use anyhow::{Result, ensure};
use raw_client::postgres::Session;

use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{Endpoint, lock_key};

/// libpq with two prepared statements: a lower bound for anything that uses this client.
pub(crate) struct CClient<'a>(pub(crate) Endpoint<'a>);

impl Competitor for CClient<'_> {
    fn name(&self) -> String {
        "C client, prepared".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let keys = load.names(lock_key);
        let url = self.0.url()?;
        load.in_threads(load.threads, |thread| {
            let session = Session::connect(&url)?;
            session.prepare(c"lock", c"SELECT pg_advisory_lock($1)")?;
            session.prepare(c"unlock", c"SELECT pg_advisory_unlock($1)")?;
            thread.repeat(|name, recorder| {
                recorder.requested();
                session.ask(c"lock", keys[name])?;
                recorder.acquired();
                ensure!(session.ask(c"unlock", keys[name])?, "not released");
                Ok(())
            })
        })
    }
}
