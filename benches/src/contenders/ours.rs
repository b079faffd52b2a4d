use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use super::turns::Turns;
use super::{Load, Locker, Outcome};
use crate::database::{Account, Endpoint, lock_name};

/// This library.
pub(crate) struct Ours<'a> {
    pub(crate) at: Endpoint<'a>,
    pub(crate) call: Call,
    pub(crate) through: Through,
}

#[derive(Clone, Copy)]
pub(crate) enum Call {
    Hold,
    WithLock,
    Transaction,
}

#[derive(Clone, Copy)]
pub(crate) enum Through {
    /// A connection for each thread.
    Connections,
    LockPool(Size),
}

#[derive(Clone, Copy)]
pub(crate) enum Size {
    Always(usize),
    /// One connection for so many threads.
    OneFor(usize),
}

impl<'a> Ours<'a> {
    /// On a connection for each thread.
    pub(crate) fn plain(at: Endpoint<'a>, call: Call) -> Self {
        let through = Through::Connections;
        Self { at, call, through }
    }

    pub(crate) fn pooled(at: Endpoint<'a>, call: Call, size: Size) -> Self {
        let through = Through::LockPool(size);
        Self { at, call, through }
    }

    fn on_connections(&self, load: &Load) -> Result<Outcome> {
        let names = load.names(lock_name);
        let accounts = load.names(Account::empty);
        load.in_threads(load.threads, |thread| {
            let conn = &mut self.at.connect()?;
            match self.call {
                Call::Hold => thread.repeat(|name, turns| {
                    turns.asks();
                    let request = names[name].lock();
                    Ok(request.run(conn, |_, _| nothing(turns))?)
                }),
                Call::WithLock => thread.repeat(|name, turns| {
                    turns.asks();
                    let mut account = accounts[name].clone();
                    Ok(account.with_lock(conn, |_, _| nothing(turns))?)
                }),
                Call::Transaction => thread.repeat(|name, turns| {
                    turns.asks();
                    let mut account = accounts[name].clone();
                    let request = account.lock();
                    Ok(request.transaction(conn, |_, _| nothing(turns))?)
                }),
            }
        })
    }

    fn through_pool(&self, size: Size, load: &Load) -> Result<Outcome> {
        let names = load.names(lock_name);
        let accounts = load.names(Account::empty);
        let connections = size.of(load.threads);
        let locks = &LockPool::new(self.at.pool(connections)?);
        load.in_threads(connections, |thread| match self.call {
            Call::Hold => thread.repeat(|name, turns| {
                turns.asks();
                let request = names[name].lock();
                Ok(locks.run(request, |_, _| nothing(turns))?)
            }),
            Call::WithLock => thread.repeat(|name, turns| {
                turns.asks();
                let mut account = accounts[name].clone();
                Ok(locks.run(account.lock(), |_, _| nothing(turns))?)
            }),
            Call::Transaction => thread.repeat(|name, turns| {
                turns.asks();
                let mut account = accounts[name].clone();
                let request = account.lock();
                Ok(locks.transaction(request, |_, _| nothing(turns))?)
            }),
        })
    }
}

/// Under the lock.
fn nothing(turns: &mut Turns) -> Result<(), LockError> {
    turns.holds();
    Ok(())
}

impl Size {
    fn of(self, threads: usize) -> usize {
        match self {
            Self::Always(count) => count,
            Self::OneFor(of) => (threads / of).max(1),
        }
    }
}

impl Locker for Ours<'_> {
    fn name(&self) -> String {
        let (plain, pooled) = match self.call {
            Call::Hold => ("hold", "hold_from"),
            Call::WithLock => ("with_lock, re-read", "with_lock_from, re-read"),
            Call::Transaction => (".transaction, re-read", ".transaction_from, re-read"),
        };
        match self.through {
            Through::Connections => plain.to_owned(),
            Through::LockPool(Size::Always(count)) => format!("{pooled}, LockPool of {count}"),
            Through::LockPool(Size::OneFor(threads)) => {
                format!("{pooled}, LockPool of threads/{threads}")
            }
        }
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        match self.through {
            Through::Connections => self.on_connections(load),
            Through::LockPool(size) => self.through_pool(size, load),
        }
    }
}
