//! The table in a terminal: a row for each lock.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use terminal_size::{Height, Width, terminal_size};

use crate::lock::{Lock, Mode, Session, State};
use crate::output::account;
use crate::readable::{duration, printable};

/// The length of a statement's start.
const STATEMENT: usize = 40;

/// The columns and rows of the terminal.
pub(crate) fn size() -> (u16, u16) {
    match terminal_size() {
        Some((Width(width), Height(height))) => (width, height),
        None => (80, 24),
    }
}

pub(crate) fn table(locks: &[Lock]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(size().0);
    table.set_header(["lock", "schema", "held by", "for", "doing", "waiting"]);
    for lock in locks {
        table.add_row([
            name(lock),
            schema(lock),
            lines(&lock.holders, session),
            held(lock),
            lines(&lock.holders, doing),
            lines(&lock.waiters, waiter),
        ]);
    }
    // Other columns are wrapped first: the name is what the next command takes.
    if let Some(name) = table.column_mut(0) {
        name.set_constraint(ColumnConstraint::ContentWidth);
    }
    if let Some(held) = table.column_mut(3) {
        held.set_constraint(ColumnConstraint::ContentWidth);
        held.set_cell_alignment(CellAlignment::Right);
    }
    let waiting: usize = locks.iter().map(|lock| lock.waiters.len()).sum();
    let held = match locks.len() {
        1 => "1 lock held".to_owned(),
        count => format!("{count} locks held"),
    };
    format!("{table}\n{held}, {waiting} waiting\n")
}

fn name(lock: &Lock) -> String {
    let name = printable(&lock.name);
    match lock.mode {
        Mode::Exclusive => name,
        Mode::Shared => name + "\n(shared)",
    }
}

fn schema(lock: &Lock) -> String {
    match &lock.schema {
        Some(schema) if schema.is_empty() => "(none)".to_owned(),
        Some(schema) => printable(schema),
        None => String::new(),
    }
}

fn held(lock: &Lock) -> String {
    match lock.held {
        Some(time) if lock.held_is_exact => duration(time),
        Some(time) => format!("≥ {}", duration(time)),
        None => "(unknown)".to_owned(),
    }
}

/// A line for each session.
fn lines(sessions: &[Session], line: fn(&Session) -> String) -> String {
    let lines: Vec<_> = sessions.iter().map(line).collect();
    lines.join("\n")
}

fn session(session: &Session) -> String {
    match (session.connection, session.account()) {
        (0, _) => "a prepared transaction".to_owned(),
        (id, Some(_)) => format!("{id} {}", account(session)),
        (id, None) => id.to_string(),
    }
}

fn doing(session: &Session) -> String {
    let Some((state, time)) = session.state.zip(session.in_state) else {
        return "(unknown)".to_owned();
    };
    let time = duration(time);
    match (state, &session.statement) {
        (State::Idle, _) => format!("idle for {time}"),
        (State::Statement, None) => format!("in a statement for {time}"),
        (State::Statement, Some(statement)) => format!("{time}: {}", start(statement)),
    }
}

/// The start of a statement, in one line.
fn start(statement: &str) -> String {
    let words: Vec<_> = statement.split_whitespace().collect();
    let mut line = printable(&words.join(" "));
    if let Some((end, _)) = line.char_indices().nth(STATEMENT) {
        line.truncate(end);
        line.push('…');
    }
    line
}

fn waiter(waiter: &Session) -> String {
    match waiter.in_state {
        Some(time) => format!("{} for {}", session(waiter), duration(time)),
        None => session(waiter),
    }
}
