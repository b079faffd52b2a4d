use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use super::{Load, Locker, Outcome};
use crate::database::{Endpoint, lock_name};

/// This library, through a `LockPool`.
pub(crate) struct HoldFrom<'a> {
    pub(crate) at: Endpoint<'a>,
    pub(crate) connections: Connections,
}

pub(crate) enum Connections {
    Always(usize),
    /// One for so many threads.
    OneFor(usize),
}

impl Connections {
    fn of(&self, threads: usize) -> usize {
        match *self {
            Self::Always(count) => count,
            Self::OneFor(of) => (threads / of).max(1),
        }
    }
}

impl Locker for HoldFrom<'_> {
    fn name(&self) -> String {
        match self.connections {
            Connections::Always(count) => format!("hold_from, LockPool of {count}"),
            Connections::OneFor(threads) => {
                format!("hold_from, LockPool of threads/{threads}")
            }
        }
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(lock_name);
        let connections = self.connections.of(load.threads);
        let locks = &LockPool::new(self.at.pool(connections)?);
        load.in_threads(connections, |thread| {
            thread.repeat(|name, turns| {
                turns.asks();
                names[name].lock().hold_from(locks, |_| {
                    turns.holds();
                    Ok::<_, LockError>(())
                })?;
                Ok(())
            })
        })
    }
}
