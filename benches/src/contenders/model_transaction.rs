use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use super::{Load, Locker, Outcome};
use crate::database::{Account, Endpoint};

/// This library on a loaded model, with a transaction within the lock.
pub(crate) struct ModelTransaction<'a>(pub(crate) Endpoint<'a>);

impl Locker for ModelTransaction<'_> {
    fn name(&self) -> String {
        ".transaction, re-read".to_owned()
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let accounts = load.names(|id| Account { id, balance: 0 });
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, turns| {
                let mut account = accounts[name].clone();
                turns.asks();
                account.lock().transaction(conn, |_, _| {
                    turns.holds();
                    Ok::<_, LockError>(())
                })?;
                Ok(())
            })
        })
    }
}
