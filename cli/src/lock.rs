//! A lock and its sessions, as the commands print them.

use std::time::Duration;

use diesel_advisory_lock::inspect::{self, Activity, HeldLock, HoldDuration};
use serde::Serialize;

/// A lock that is held. `args::LIST_HELP` documents the fields of the JSON.
#[derive(Clone, Serialize)]
pub(crate) struct Lock {
    pub(crate) name: String,
    pub(crate) schema: Option<String>,
    pub(crate) postgres_key: Option<String>,
    pub(crate) mode: Mode,
    #[serde(rename = "held_ms", serialize_with = "milliseconds")]
    pub(crate) held: Option<Duration>,
    pub(crate) held_is_exact: bool,
    pub(crate) holders: Vec<Session>,
    pub(crate) waiters: Vec<Session>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Exclusive,
    Shared,
}

/// A session that holds a lock or waits for it.
#[derive(Clone, Serialize)]
pub(crate) struct Session {
    pub(crate) connection: u64,
    pub(crate) user: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) state: Option<State>,
    #[serde(rename = "state_ms", serialize_with = "milliseconds")]
    pub(crate) in_state: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Idle,
    Statement,
}

fn milliseconds<S: serde::Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    ms.serialize(serializer)
}

impl Lock {
    pub(crate) fn new(lock: HeldLock, schemas: &[String]) -> Self {
        let mut schema = schemas.iter().find(|schema| lock.name.is_in(schema));
        let none = String::new();
        if schema.is_none() && lock.name.is_in("") {
            schema = Some(&none);
        }
        let (held, held_is_exact) = match lock.held_for {
            HoldDuration::Exactly(time) => (Some(time), true),
            // Nothing is known about the session.
            HoldDuration::AtLeast(_) if lock.holder.activity.is_none() => (None, false),
            HoldDuration::AtLeast(time) => (Some(time), false),
        };
        let sessions = [lock.holder].into_iter().chain(lock.other_holders);
        Self {
            name: lock.name.to_string(),
            schema: schema.cloned(),
            postgres_key: lock.postgres_key.map(|key| key.to_string()),
            mode: match lock.is_shared {
                true => Mode::Shared,
                false => Mode::Exclusive,
            },
            held,
            held_is_exact,
            holders: sessions.map(Session::from).collect(),
            waiters: lock.waiters.into_iter().map(Session::from).collect(),
        }
    }

    pub(crate) fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.holders.iter_mut().chain(&mut self.waiters)
    }
}

impl Session {
    /// A session of which only the id is known.
    pub(crate) fn unknown(connection: u64) -> Self {
        Self {
            connection,
            user: None,
            host: None,
            state: None,
            in_state: None,
            statement: None,
        }
    }

    /// `app@10.0.0.3:51234`.
    pub(crate) fn account(&self) -> Option<String> {
        let (user, host) = (self.user.as_ref()?, self.host.as_ref()?);
        Some(format!("{user}@{host}"))
    }
}

impl From<inspect::Session> for Session {
    fn from(session: inspect::Session) -> Self {
        let unknown = Self::unknown(session.connection_id);
        let Some(activity) = session.activity else {
            return unknown;
        };
        let Activity {
            user,
            host,
            elapsed,
            statement,
            ..
        } = activity;
        Self {
            user: Some(user),
            host: Some(host),
            state: Some(match statement {
                Some(_) => State::Statement,
                None => State::Idle,
            }),
            in_state: Some(elapsed),
            statement,
            ..unknown
        }
    }
}
