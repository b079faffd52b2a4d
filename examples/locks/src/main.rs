//! Prints which session holds which lock on the server of `DATABASE_URL`, and which sessions wait:
//! `cargo run --package locks -- --watch`.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, value_parser};
use comfy_table::{CellAlignment, Table, presets};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::inspect::{
    self, Activity, HeldLock, HoldDuration, InspectError, LockedObject, ParsedLockName, Session,
};

/// Prints which session holds which lock on a server, and which sessions wait.
#[derive(Parser)]
#[command(name = "locks")]
struct Cli {
    /// The server: mysql://user:password@host/database
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: String,

    /// Repeat every so many seconds until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let Some(seconds) = cli.watch else {
        println!("{}", look(&cli.database_url, &mut None)?);
        return Ok(());
    };
    let mut conn = None;
    loop {
        // After an error the next round connects again: the server may have restarted.
        let text = look(&cli.database_url, &mut conn).unwrap_or_else(|error| {
            conn = None;
            format!("{error:#}")
        });
        show(&text)?;
        thread::sleep(Duration::from_secs(seconds));
    }
}

fn look(url: &str, conn: &mut Option<MysqlConnection>) -> Result<String> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(MysqlConnection::establish(url)?),
    };
    let (held, warning) = match inspect::held_locks(conn) {
        Ok(held) => (held, String::new()),
        Err(error) => {
            let warning = format!("\nwarning: {error}");
            match error {
                InspectError::Incomplete { held, .. } => (held, warning),
                error => return Err(error.into()),
            }
        }
    };
    let schemas = diesel::sql_query("SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA")
        .load::<Schema>(conn)?;
    Ok(table(&held, &schemas) + &warning)
}

/// Replaces what a terminal shows. Elsewhere the text is appended.
fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        write!(out, "\x1b[2J\x1b[H")?;
    }
    writeln!(out, "{text}")?;
    out.flush()
}

#[derive(QueryableByName)]
struct Schema {
    #[diesel(sql_type = Text)]
    name: String,
}

fn table(held: &[HeldLock], schemas: &[Schema]) -> String {
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
            account(&lock.holder),
            age(lock.held_for),
            doing(lock.holder.activity.as_ref()),
            lock.waiters
                .iter()
                .map(waiter)
                .collect::<Vec<_>>()
                .join("\n"),
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
        _ => name.to_string(),
    }
}

/// A lock's name contains a hash of its schema, which is compared with the schemas that the account
/// may see.
fn schema(name: &ParsedLockName, schemas: &[Schema]) -> String {
    match schemas.iter().find(|schema| name.is_in(&schema.name)) {
        Some(schema) => schema.name.clone(),
        None if name.is_in("") => "(none)".to_owned(),
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
