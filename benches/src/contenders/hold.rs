use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use super::{Load, Locker, Outcome};
use crate::database::{Endpoint, lock_name};

/// This library, on a connection for each thread.
pub(crate) struct Hold<'a>(pub(crate) Endpoint<'a>);

impl Locker for Hold<'_> {
    fn name(&self) -> String {
        "hold".to_owned()
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(lock_name);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.0.connect()?;
            thread.repeat(|name, turns| {
                turns.asks();
                names[name].lock().hold(conn, |_| {
                    turns.holds();
                    Ok::<_, LockError>(())
                })?;
                Ok(())
            })
        })
    }
}
