use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use diesel::Connection;
use diesel::connection::InstrumentationEvent;
use diesel_advisory_lock::prelude::*;
use raw_client::Session;

use super::{Load, Locker, Outcome, poll};
use crate::database::{Endpoint, SCHEMA, lock_name, written};

/// The statements that `run` on a name sends, sent by the C client: what is more than the floor is the
/// server's, and what `run` itself takes more is the client's.
pub(crate) struct HoldStatements<'a>(pub(crate) Endpoint<'a>);

impl Locker for HoldStatements<'_> {
    fn name(&self) -> String {
        "hold's statements, by the C client".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let Statements {
            prepare_session,
            acquire,
            release: release_sql,
        } = Statements::of_hold(&self.0)?;
        let texts = load.names(|id| lock_name(id).to_string());
        let names = load.names(written);
        let address = self.0.address()?;
        load.in_threads(load.threads, |thread| {
            let session = Session::connect(address, SCHEMA)?;
            session.run(&prepare_session)?;
            let mut get = session.prepare(&acquire)?;
            let mut release = session.prepare(&release_sql)?;
            thread.repeat(|name, turns| {
                turns.asks();
                // The lowest bit is what `GET_LOCK` says.
                let is_got = |answer: i64| answer >= 0 && answer & 1 == 1;
                poll::until(|| Ok(get.ask(&texts[name])?.is_some_and(is_got)))?;
                turns.holds();
                ensure!(release.ask(&names[name])? == Some(1), "not released");
                Ok(())
            })
        })
    }
}

struct Statements {
    /// Once a session, before its first lock.
    prepare_session: String,
    acquire: String,
    release: String,
}

impl Statements {
    /// As Diesel tells them of a connection's first lock: it asks, has to prepare the session, asks again, and releases.
    fn of_hold(at: &Endpoint<'_>) -> Result<Self> {
        let mut conn = at.connect()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.push(query.to_string());
            }
        });
        let request = LockName::named("to look at").lock();
        request.run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = |told: &String| told.split(" -- binds:").next().map(str::to_owned);
        let statements: Vec<_> = seen.iter().filter_map(sql).collect();
        match statements.as_slice() {
            [first, prepare_session, again, release] if first == again => Ok(Self {
                prepare_session: prepare_session.clone(),
                acquire: again.clone(),
                release: release.clone(),
            }),
            _ => bail!("hold sends other statements: {statements:#?}"),
        }
    }
}
