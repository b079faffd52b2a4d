//! Locks in a terminal: a table, or blocks of lines if the terminal is too narrow for it.

use comfy_table::{CellAlignment, Table, presets};
use terminal_size::{Height, Width, terminal_size};

use crate::lock::{Lock, Mode, Session, State};
use crate::output::account;
use crate::readable::{duration, printable};

/// The length of a statement's start.
const STATEMENT: usize = 60;

/// The columns and rows of the terminal.
pub(crate) fn size() -> (usize, usize) {
    match terminal_size() {
        Some((Width(width), Height(height))) => (width.into(), height.into()),
        None => (80, 24),
    }
}

/// The locks for a terminal with so many columns, and their number.
pub(crate) fn text(locks: &[Lock], width: usize) -> String {
    let table = table(locks);
    let longest = table.lines().map(|line| line.chars().count()).max();
    let text = match longest {
        Some(longest) if longest > width => locks.iter().map(block).collect(),
        _ => table,
    };
    let waiting: usize = locks.iter().map(|lock| lock.waiters.len()).sum();
    let held = match locks.len() {
        1 => "1 lock held".to_owned(),
        count => format!("{count} locks held"),
    };
    format!("{text}{held}, {waiting} waiting\n")
}

fn table(locks: &[Lock]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["lock", "held by", "for", "waiting"]);
    for lock in locks {
        let name = [Some(printable(&lock.name)), about(lock)];
        let holders = lock.holders.iter().flat_map(|it| [session(it), doing(it)]);
        table.add_row([
            name.into_iter().flatten().collect::<Vec<_>>().join("\n"),
            holders.collect::<Vec<_>>().join("\n"),
            held(lock),
            lock.waiters
                .iter()
                .map(waiter)
                .collect::<Vec<_>>()
                .join("\n"),
        ]);
    }
    if let Some(held) = table.column_mut(2) {
        held.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

fn block(lock: &Lock) -> String {
    let mut text = printable(&lock.name);
    if let Some(about) = about(lock) {
        text += &format!(" ({about})");
    }
    text.push('\n');
    for (number, holder) in lock.holders.iter().enumerate() {
        text += &format!("    held by  {}", session(holder));
        if number == 0 && lock.held.is_some() {
            text += &format!(" for {}", held(lock));
        }
        text += &format!("\n             {}\n", doing(holder));
    }
    for it in &lock.waiters {
        text += &format!("    waiting  {}\n", waiter(it));
    }
    text
}

/// `schema app, shared`.
fn about(lock: &Lock) -> Option<String> {
    let schema = lock.schema.as_deref().filter(|schema| !schema.is_empty());
    let schema = schema.map(|schema| format!("schema {}", printable(schema)));
    match (schema, lock.mode) {
        (schema, Mode::Exclusive) => schema,
        (None, Mode::Shared) => Some("shared".to_owned()),
        (Some(schema), Mode::Shared) => Some(schema + ", shared"),
    }
}

fn held(lock: &Lock) -> String {
    match lock.held {
        Some(time) if lock.held_is_exact => duration(time),
        Some(time) => format!("≥ {}", duration(time)),
        None => "(unknown)".to_owned(),
    }
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
        return "(activity unknown)".to_owned();
    };
    let time = duration(time);
    match (state, &session.statement) {
        (State::Idle, _) => format!("idle for {time}"),
        (State::Statement, None) => format!("in a statement for {time}"),
        (State::Statement, Some(statement)) => format!("for {time}: {}", start(statement)),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn session(connection: u64, state: State) -> Session {
        Session {
            user: Some("app".to_owned()),
            host: Some("10.0.0.3:51234".to_owned()),
            state: Some(state),
            in_state: Some(Duration::from_secs(200)),
            ..Session::unknown(connection)
        }
    }

    fn locks() -> [Lock; 2] {
        let row = Lock {
            name: "a172cedc/notifications:42".to_owned(),
            schema: Some("app".to_owned()),
            postgres_key: None,
            mode: Mode::Exclusive,
            held: Some(Duration::from_secs(12)),
            held_is_exact: true,
            holders: vec![session(25, State::Idle)],
            waiters: vec![session(26, State::Statement)],
        };
        let shared = Lock {
            name: "(7, -2)".to_owned(),
            schema: None,
            mode: Mode::Shared,
            held: None,
            holders: vec![Session::unknown(27), Session::unknown(0)],
            waiters: Vec::new(),
            ..row.clone()
        };
        [row, shared]
    }

    #[test]
    fn wide_terminal_has_a_table() {
        let expected = "\
┌───────────────────────────┬────────────────────────┬───────────┬─────────────────────────────────┐
│ lock                      ┆ held by                ┆       for ┆ waiting                         │
╞═══════════════════════════╪════════════════════════╪═══════════╪═════════════════════════════════╡
│ a172cedc/notifications:42 ┆ 25 app@10.0.0.3:51234  ┆      12 s ┆ 26 app@10.0.0.3:51234 for 3 min │
│ schema app                ┆ idle for 3 min         ┆           ┆                                 │
│ (7, -2)                   ┆ 27                     ┆ (unknown) ┆                                 │
│ shared                    ┆ (activity unknown)     ┆           ┆                                 │
│                           ┆ a prepared transaction ┆           ┆                                 │
│                           ┆ (activity unknown)     ┆           ┆                                 │
└───────────────────────────┴────────────────────────┴───────────┴─────────────────────────────────┘
2 locks held, 1 waiting
";
        assert_eq!(text(&locks(), 100), expected);
    }

    #[test]
    fn narrow_terminal_has_blocks() {
        let expected = "\
a172cedc/notifications:42 (schema app)
    held by  25 app@10.0.0.3:51234 for 12 s
             idle for 3 min
    waiting  26 app@10.0.0.3:51234 for 3 min
(7, -2) (shared)
    held by  27
             (activity unknown)
    held by  a prepared transaction
             (activity unknown)
2 locks held, 1 waiting
";
        assert_eq!(text(&locks(), 99), expected);
    }
}
