use anyhow::{Result, ensure};
use raw_client::Session;

use super::{Competitor, Load, Outcome};
use crate::database::{Endpoint, SCHEMA, full_name};

/// The C client with two prepared statements: a lower bound for anything that uses this client.
pub(crate) struct CClient<'a>(pub(crate) Endpoint<'a>);

impl Competitor for CClient<'_> {
    fn name(&self) -> String {
        "C client, prepared".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(full_name);
        let address = self.0.address()?;
        load.in_threads(load.threads, |thread| {
            let session = Session::connect(address, SCHEMA)?;
            let mut get = session.prepare("SELECT GET_LOCK(?, 45)")?;
            let mut release = session.prepare("SELECT RELEASE_LOCK(?)")?;
            thread.repeat(|name, recorder| {
                recorder.requested();
                ensure!(get.ask(&names[name])? == Some(1), "not locked");
                recorder.acquired();
                ensure!(release.ask(&names[name])? == Some(1), "not released");
                Ok(())
            })
        })
    }
}
