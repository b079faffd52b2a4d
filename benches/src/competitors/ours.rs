use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use super::Competitor;
use super::load::{Load, Outcome};
use super::recorder::Recorder;
use crate::database::{Account, Conn, Endpoint, lock_name};

/// This crate.
pub(crate) struct Ours<'a> {
    at: Endpoint<'a>,
    call: Call,
    through: Through,
}

#[derive(Clone, Copy)]
pub(crate) enum Call {
    /// `run` on a name.
    Run,
    /// `run` on a set of two names.
    RunSet,
    /// `with_lock` on a model.
    WithLock,
    /// `transaction` on a model.
    Transaction,
}

#[derive(Clone, Copy)]
enum Through {
    /// A connection for each thread.
    Connections,
    /// A pool, from which each iteration checks a connection out.
    Pool(usize),
    LockPool(Size),
}

/// The number of connections of a pool.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    Fixed(usize),
    /// One connection for this many threads.
    OnePer(usize),
}

impl<'a> Ours<'a> {
    /// On a connection for each thread.
    pub(crate) fn plain(at: Endpoint<'a>, call: Call) -> Self {
        let through = Through::Connections;
        Self { at, call, through }
    }

    /// On connections of an r2d2 pool.
    pub(crate) fn on_pool(at: Endpoint<'a>, call: Call, size: usize) -> Self {
        let through = Through::Pool(size);
        Self { at, call, through }
    }

    /// Through a `LockPool`.
    pub(crate) fn lock_pool(at: Endpoint<'a>, call: Call, size: Size) -> Self {
        let through = Through::LockPool(size);
        Self { at, call, through }
    }

    fn on_connection(
        &self,
        conn: &mut Conn,
        (name, account, set): &Target,
        recorder: &mut Recorder,
    ) -> Result<(), LockError> {
        match self.call {
            Call::Run => name.lock().run(conn, |_, _| nothing(recorder)),
            Call::RunSet => lock_all((&set.0, &set.1)).run(conn, |_, _| nothing(recorder)),
            Call::WithLock => account.clone().with_lock(conn, |_, _| nothing(recorder)),
            Call::Transaction => {
                let mut account = account.clone();
                let lock = account.lock();
                lock.transaction(conn, |_, _| nothing(recorder))
            }
        }
    }

    fn through_lock_pool(
        &self,
        locks: &LockPool<Conn>,
        (name, account, set): &Target,
        recorder: &mut Recorder,
    ) -> Result<(), LockError> {
        match self.call {
            Call::Run => locks.run(name.lock(), |_, _| nothing(recorder)),
            Call::RunSet => locks.run(lock_all((&set.0, &set.1)), |_, _| nothing(recorder)),
            Call::WithLock => locks.run(account.clone().lock(), |_, _| nothing(recorder)),
            Call::Transaction => {
                locks.transaction(account.clone().lock(), |_, _| nothing(recorder))
            }
        }
    }
}

/// What an iteration locks: a name, a model, or a set of two names.
type Target = (LockName, Account, (LockName, LockName));

fn target(id: i64) -> Target {
    let set = (lock_name(id), lock_name(-id));
    (lock_name(id), Account::empty(id), set)
}

/// The work under the lock.
fn nothing(recorder: &mut Recorder) -> Result<(), LockError> {
    recorder.acquired();
    Ok(())
}

impl Size {
    fn of(self, threads: usize) -> usize {
        match self {
            Self::Fixed(count) => count,
            Self::OnePer(of) => (threads / of).max(1),
        }
    }
}

impl Competitor for Ours<'_> {
    fn name(&self) -> String {
        let (call, pooled_call) = match self.call {
            Call::Run => ("name.lock().run", "locks.run(name.lock())"),
            Call::RunSet => ("lock_all(set).run", "locks.run(lock_all(set))"),
            Call::WithLock => ("account.with_lock", "locks.run(account.lock())"),
            Call::Transaction => (
                "account.lock().transaction",
                "locks.transaction(account.lock())",
            ),
        };
        match self.through {
            Through::Connections => call.to_owned(),
            Through::Pool(size) => format!("{call}, pool of {size}"),
            Through::LockPool(Size::Fixed(size)) => format!("{pooled_call}, LockPool of {size}"),
            Through::LockPool(Size::OnePer(threads)) => {
                format!("{pooled_call}, LockPool of threads/{threads}")
            }
        }
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let targets = load.names(target);
        match self.through {
            Through::Connections => load.in_threads(load.threads, |thread| {
                let conn = &mut self.at.connect()?;
                thread.repeat(|name, recorder| {
                    recorder.requested();
                    Ok(self.on_connection(conn, &targets[name], recorder)?)
                })
            }),
            Through::Pool(size) => {
                let pool = self.at.pool(size)?;
                load.in_threads(size, |thread| {
                    thread.repeat(|name, recorder| {
                        recorder.requested();
                        let conn = &mut *pool.get()?;
                        Ok(self.on_connection(conn, &targets[name], recorder)?)
                    })
                })
            }
            Through::LockPool(size) => {
                let connections = size.of(load.threads);
                let locks = LockPool::new(self.at.pool(connections)?);
                load.in_threads(connections, |thread| {
                    thread.repeat(|name, recorder| {
                        recorder.requested();
                        Ok(self.through_lock_pool(&locks, &targets[name], recorder)?)
                    })
                })
            }
        }
    }
}
