//! [`Hook`]: a Diesel instrumentation that panics or calls a function at a chosen event.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent};

use crate::api::Connection;
use crate::server::Conn;

/// Clones share their state.
#[derive(Clone, Default)]
pub(crate) struct Hook(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    armed: Option<(When, Then)>,
    seen: usize,
    /// Panics at each event.
    always: bool,
}

/// An event of a connection.
pub(crate) enum When {
    /// The event with this number, counted from 0.
    Nth(usize),
    /// The start of a statement that contains this text.
    Start(&'static str),
    /// The end of a statement that contains this text.
    Finish(&'static str),
}

pub(crate) enum Then {
    /// Panics once.
    Panic,
    /// Panics at this event and at each later one.
    PanicAlways,
    Call(Box<dyn FnOnce() + Send>),
}

impl Hook {
    /// Makes the connection report its events to this hook.
    pub(crate) fn watch(&self, conn: &mut Conn) {
        conn.set_instrumentation(self.clone());
    }

    pub(crate) fn arm(&self, when: When, then: Then) {
        *self.state() = State {
            armed: Some((when, then)),
            ..State::default()
        };
    }

    /// Returns whether the event has happened.
    pub(crate) fn disarm(&self) -> bool {
        let state = std::mem::take(&mut *self.state());
        state.armed.is_none()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on(&self, event: &InstrumentationEvent<'_>) -> Option<Then> {
        let mut state = self.state();
        if state.always {
            return Some(Then::PanicAlways);
        }
        let seen = state.seen;
        state.seen += 1;
        let matches = match (&state.armed.as_ref()?.0, event) {
            (When::Nth(nth), _) => *nth == seen,
            (When::Start(text), InstrumentationEvent::StartQuery { query, .. })
            | (When::Finish(text), InstrumentationEvent::FinishQuery { query, .. }) => {
                query.to_string().contains(text)
            }
            _ => false,
        };
        let (_, then) = matches.then(|| state.armed.take()).flatten()?;
        state.always = matches!(then, Then::PanicAlways);
        Some(then)
    }
}

impl Instrumentation for Hook {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match self.on(&event) {
            Some(Then::Panic | Then::PanicAlways) => resume_unwind(Box::new("on purpose")),
            Some(Then::Call(call)) => call(),
            None => {}
        }
    }
}
