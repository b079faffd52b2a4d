use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use diesel::Connection;
use diesel::connection::InstrumentationEvent;
use diesel_advisory_lock::prelude::*;
use raw_client::Session;

use super::{Load, Locker, Outcome, poll};
use crate::database::{Endpoint, SCHEMA, lock_name, written};

/// The statements that `hold` sends, sent by the C client: what is more than the floor is the server's, and what `hold`
/// itself takes more is the client's.
pub(crate) struct HoldStatements<'a>(pub(crate) Endpoint<'a>);

impl Locker for HoldStatements<'_> {
    fn name(&self) -> String {
        "hold's statements, by the C client".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let [acquire, release_sql] = statements(&self.0)?;
        let texts = load.names(|id| lock_name(id).to_string());
        let names = load.names(written);
        let (namespace, _) = names[0].split_once('/').context("a whole name")?;
        let number = u32::from_str_radix(namespace, 16)?;
        let set_namespace = format!(
            "SET @diesel_advisory_lock_namespace = '{namespace}', \
             @diesel_advisory_lock_namespace_number = CAST({number} AS SIGNED) * 4"
        );
        let address = self.0.address()?;
        load.in_threads(load.threads, |thread| {
            let session = Session::connect(address, SCHEMA)?;
            session.run(&set_namespace)?;
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

/// As Diesel tells them. The connection has locked before, and so has its namespace.
fn statements(at: &Endpoint<'_>) -> Result<[String; 2]> {
    let mut conn = at.connect()?;
    let name = LockName::named("to look at");
    let hold = |conn: &mut diesel::MysqlConnection| {
        let request = name.lock();
        request.hold(conn, |_| Ok::<_, LockError>(()))
    };
    hold(&mut conn)?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(query.to_string());
        }
    });
    hold(&mut conn)?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let statements: Vec<_> = seen
        .iter()
        .filter_map(|told| Some(told.split_once(" -- binds:")?.0.to_owned()))
        .collect();
    let count = statements.len();
    <[String; 2]>::try_from(statements)
        .ok()
        .with_context(|| format!("hold sends {count} statements, not two"))
}
