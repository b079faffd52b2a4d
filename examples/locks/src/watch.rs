//! Asks the server which locks are held, and prints the table, once or repeatedly.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::inspect::{self, InspectError};

use super::DbConnection;
use crate::Cli;
use crate::table::table;

#[derive(QueryableByName)]
struct Schema {
    #[diesel(sql_type = Text)]
    name: String,
}

pub(crate) fn main(cli: &Cli) -> Result<()> {
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

fn look(url: &str, conn: &mut Option<DbConnection>) -> Result<String> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(DbConnection::establish(url)?),
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
    let schemas: Vec<_> =
        diesel::sql_query("SELECT schema_name AS name FROM information_schema.schemata")
            .load::<Schema>(conn)?
            .into_iter()
            .map(|schema| schema.name)
            .collect();
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
