use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use super::{Load, Locker, Outcome};
use crate::database::{Account, Endpoint};

/// This library on a loaded model, whose row is read again.
pub(crate) struct WithLock<'a>(pub(crate) Endpoint<'a>);

impl Locker for WithLock<'_> {
    fn name(&self) -> String {
        "with_lock, re-read".to_owned()
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let accounts = load.names(|id| Account { id, balance: 0 });
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, turns| {
                turns.asks();
                accounts[name].clone().with_lock(conn, |_, _| {
                    turns.holds();
                    Ok::<_, LockError>(())
                })?;
                Ok(())
            })
        })
    }
}
