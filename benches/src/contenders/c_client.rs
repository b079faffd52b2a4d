use anyhow::{Result, ensure};
use raw_client::Session;

use super::{Load, Locker, Outcome};
use crate::database::{Endpoint, SCHEMA, written};

/// The C client and two prepared statements: nothing that goes through it can be quicker.
pub(crate) struct CClient<'a>(pub(crate) Endpoint<'a>);

impl Locker for CClient<'_> {
    fn name(&self) -> String {
        "C client, prepared".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(written);
        let address = self.0.address()?;
        load.in_threads(load.threads, |thread| {
            let session = Session::connect(address, SCHEMA)?;
            let mut get = session.prepare("SELECT GET_LOCK(?, 45)")?;
            let mut release = session.prepare("SELECT RELEASE_LOCK(?)")?;
            thread.repeat(|name, turns| {
                turns.asks();
                ensure!(get.ask(&names[name])? == Some(1), "not locked");
                turns.holds();
                ensure!(release.ask(&names[name])? == Some(1), "not released");
                Ok(())
            })
        })
    }
}
