use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use diesel::Connection;
use diesel::connection::InstrumentationEvent;
use diesel_advisory_lock::prelude::*;
use raw_client::Session;

use super::{Competitor, Load, Outcome, poll};
use crate::database::{Endpoint, SCHEMA, full_name, lock_name};

/// The statements that `run` on a name sends, sent by the C client. Their extra cost over
/// [`CClient`](super::CClient) is the server's; the rest of `run`'s extra cost is the client's.
pub(crate) struct RunStatements<'a>(pub(crate) Endpoint<'a>);

impl Competitor for RunStatements<'_> {
    fn name(&self) -> String {
        "statements of run, C client".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let Statements {
            prepare_session,
            acquire,
            release: release_sql,
        } = Statements::of_run(&self.0)?;
        let texts = load.names(|id| lock_name(id).to_string());
        let names = load.names(full_name);
        let address = self.0.address()?;
        load.in_threads(load.threads, |thread| {
            let session = Session::connect(address, SCHEMA)?;
            session.run(&prepare_session)?;
            let mut get = session.prepare(&acquire)?;
            let mut release = session.prepare(&release_sql)?;
            thread.repeat(|name, recorder| {
                recorder.requested();
                // The lowest bit is the result of `GET_LOCK`.
                let is_acquired = |answer: i64| answer >= 0 && answer & 1 == 1;
                poll::until(|| Ok(get.ask(&texts[name])?.is_some_and(is_acquired)))?;
                recorder.acquired();
                ensure!(release.ask(&names[name])? == Some(1), "not released");
                Ok(())
            })
        })
    }
}

struct Statements {
    /// Sent once in a session, before its first lock.
    prepare_session: String,
    acquire: String,
    release: String,
}

impl Statements {
    /// Reads them from Diesel's instrumentation, for a connection's first lock: acquire, prepare
    /// the session, acquire again, release.
    fn of_run(at: &Endpoint<'_>) -> Result<Self> {
        let mut conn = at.connect()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let queries = Arc::clone(&seen);
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                let mut queries = queries.lock().unwrap_or_else(PoisonError::into_inner);
                queries.push(query.to_string());
            }
        });
        let request = LockName::named("statements").lock();
        request.run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = |query: &String| query.split(" -- binds:").next().map(str::to_owned);
        let statements: Vec<_> = seen.iter().filter_map(sql).collect();
        match statements.as_slice() {
            [first, prepare_session, again, release] if first == again => Ok(Self {
                prepare_session: prepare_session.clone(),
                acquire: again.clone(),
                release: release.clone(),
            }),
            _ => bail!("`run` sends other statements: {statements:#?}"),
        }
    }
}
