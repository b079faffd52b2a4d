//! Locks in a terminal, in a pipe and in JSON.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;

use crate::args::Format;
use crate::lock::{Lock, Mode, Session};
use crate::readable::printable;
use crate::{print, table};

/// Prints a line on the standard error. Nothing can report that this fails.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr(), "diesel-lock: {text}"));
}

pub(crate) fn notes(notes: &[String]) {
    notes.iter().for_each(|text| note(text));
}

pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

pub(crate) fn locks(mut locks: Vec<Lock>, format: &Format) -> Result<()> {
    if !format.statements {
        let sessions = locks.iter_mut().flat_map(Lock::sessions_mut);
        sessions.for_each(|session| session.statement = None);
    }
    let text = if format.json {
        serde_json::to_string_pretty(&locks)? + "\n"
    } else if is_terminal() && !locks.is_empty() {
        table::text(&locks, table::size().0)
    } else {
        locks.iter().map(line).collect()
    };
    Ok(print(&text)?)
}

/// A line of fields that tabs separate, which `args::LIST_HELP` documents.
fn line(lock: &Lock) -> String {
    let held = lock.held.map(|time| time.as_millis().to_string());
    let fields = [
        printable(&lock.name),
        match &lock.schema {
            Some(schema) if !schema.is_empty() => printable(schema),
            _ => unknown(),
        },
        match lock.mode {
            Mode::Exclusive => "exclusive".to_owned(),
            Mode::Shared => "shared".to_owned(),
        },
        connections(&lock.holders),
        lock.holders.first().map_or_else(unknown, account),
        held.unwrap_or_else(unknown),
        connections(&lock.waiters),
    ];
    fields.join("\t") + "\n"
}

fn unknown() -> String {
    "-".to_owned()
}

pub(crate) fn account(session: &Session) -> String {
    session
        .account()
        .map_or_else(unknown, |account| printable(&account))
}

fn connections(sessions: &[Session]) -> String {
    let ids: Vec<_> = sessions
        .iter()
        .map(|it| it.connection.to_string())
        .collect();
    match ids.is_empty() {
        true => unknown(),
        false => ids.join(","),
    }
}
