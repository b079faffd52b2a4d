//! The table: a line for each lock.

use comfy_table::{CellAlignment, Table, presets};
use diesel_advisory_lock::inspect::{
    Activity, HeldLock, HoldDuration, LockedObject, ParsedLockName, Session,
};

pub(crate) fn table(held: &[HeldLock], schemas: &[String]) -> String {
    if held.is_empty() {
        return "no lock is held".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "lock", "scope", "schema", "held by", "for", "doing", "waiting",
    ]);
    for lock in held {
        table.add_row([
            object(&lock.name),
            lock.name.scope().unwrap_or_default().to_owned(),
            schema(&lock.name, schemas),
            lines(
                std::iter::once(&lock.holder).chain(&lock.other_holders),
                account,
            ),
            age(lock.held_for),
            doing(lock.holder.activity.as_ref()),
            lines(&lock.waiters, waiter),
        ]);
    }
    if let Some(age) = table.column_mut(4) {
        age.set_cell_alignment(CellAlignment::Right);
    }
    let waiting: usize = held.iter().map(|lock| lock.waiters.len()).sum();
    format!("{table}\n{} locks held, {waiting} waiting", held.len())
}

fn object(name: &ParsedLockName) -> String {
    match name.subject() {
        LockedObject::Row { table, key } => format!("{table} {}", key.join(", ")),
        LockedObject::Table { table } => format!("{table}, the whole table"),
        LockedObject::Named { name } => format!("\"{name}\""),
        LockedObject::Hashed { resembles } => format!("{resembles}… (hashed)"),
        // PostgreSQL knows only the key.
        LockedObject::Key { .. } => format!("key {name}"),
        _ => name.to_string(),
    }
}

/// A line for each session.
fn lines<'s>(
    sessions: impl IntoIterator<Item = &'s Session>,
    line: fn(&Session) -> String,
) -> String {
    sessions
        .into_iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A lock's name contains a hash of its schema, which is compared with the schemas that the account
/// may see.
fn schema(name: &ParsedLockName, schemas: &[String]) -> String {
    match schemas.iter().find(|schema| name.is_in(schema)) {
        Some(schema) => schema.clone(),
        None if name.is_in("") || name.namespace().is_empty() => "(none)".to_owned(),
        None => name.namespace().to_owned(),
    }
}

fn account(session: &Session) -> String {
    let id = session.connection_id;
    match &session.activity {
        Some(Activity { user, host, .. }) => format!("{id} {user}@{host}"),
        None => id.to_string(),
    }
}

fn age(held_for: HoldDuration) -> String {
    match held_for {
        HoldDuration::Exactly(age) => format!("{:.1} s", age.as_secs_f64()),
        HoldDuration::AtLeast(age) => format!("{} s or more", age.as_secs()),
    }
}

fn doing(activity: Option<&Activity>) -> String {
    const WIDTH: usize = 40;
    let Some(activity) = activity else {
        return "(unknown)".to_owned();
    };
    let Some(statement) = &activity.statement else {
        return format!("idle for {} s", activity.elapsed.as_secs());
    };
    let words: Vec<_> = statement.split_whitespace().collect();
    let mut line = words.join(" ");
    if let Some((end, _)) = line.char_indices().nth(WIDTH) {
        line.truncate(end);
        line.push('…');
    }
    line
}

fn waiter(session: &Session) -> String {
    match &session.activity {
        Some(activity) => format!("{} for {} s", account(session), activity.elapsed.as_secs()),
        None => account(session),
    }
}
