use anyhow::Result;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::bb8;

use super::{connect, runtime};
use crate::competitors::recorder::Recorder;
use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{Account, AsyncConn, Endpoint, accounts};

/// The async crate, on a connection for each thread.
pub(crate) struct Plain<'a> {
    pub(crate) at: Endpoint<'a>,
    pub(crate) call: Call,
}

#[derive(Clone, Copy)]
pub(crate) enum Call {
    /// `run` on a name.
    Run,
    /// `with_lock` on a model.
    WithLock,
    /// `transaction` on a model.
    Transaction,
}

/// The work under the lock.
fn nothing(recorder: &mut Recorder) -> Result<(), LockError> {
    recorder.acquired();
    Ok(())
}

fn lock_name(id: i64) -> LockName {
    LockName::row(accounts::table, id)
}

impl Competitor for Plain<'_> {
    fn name(&self) -> String {
        match self.call {
            Call::Run => "name.lock().run",
            Call::WithLock => "account.with_lock",
            Call::Transaction => "account.lock().transaction",
        }
        .to_owned()
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let targets = load.names(|id| (lock_name(id), Account::empty(id)));
        load.in_threads(load.threads, |thread| {
            let runtime = runtime()?;
            let conn = &mut connect(&runtime, self.at)?;
            thread.repeat(|target, recorder| {
                let (name, account) = &targets[target];
                recorder.requested();
                let mut account = account.clone();
                if let Call::Run = self.call {
                    let work = async |_, _: &mut AsyncConn| nothing(recorder);
                    runtime.block_on(name.lock().run(conn, work))?;
                    return Ok(());
                }
                let work = async |_: &mut Account, _: &mut AsyncConn| nothing(recorder);
                match self.call {
                    Call::Run | Call::WithLock => {
                        runtime.block_on(account.with_lock(conn, work))?;
                    }
                    Call::Transaction => {
                        runtime.block_on(account.lock().transaction(conn, work))?;
                    }
                }
                Ok(())
            })
        })
    }
}

/// The async crate's `LockPool`, over a pool of bb8 with a connection.
pub(crate) struct Pooled<'a>(pub(crate) Endpoint<'a>);

impl Competitor for Pooled<'_> {
    fn name(&self) -> String {
        "locks.run(name.lock()), LockPool of 1".to_owned()
    }

    fn ours(&self) -> bool {
        true
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(lock_name);
        let url = self.0.async_url()?;
        load.in_threads(load.threads, |thread| {
            let runtime = runtime()?;
            let manager = AsyncDieselConnectionManager::<AsyncConn>::new(&url);
            let pool = bb8::Pool::builder().max_size(1).build(manager);
            let locks = LockPool::new(runtime.block_on(pool)?);
            thread.repeat(|name, recorder| {
                recorder.requested();
                let work = async |_, _: &mut AsyncConn| nothing(recorder);
                runtime.block_on(locks.run(names[name].lock(), work))?;
                Ok(())
            })
        })
    }
}
