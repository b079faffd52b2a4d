//! `diesel-lock key`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Key;
use crate::name::{Columns, Dialect};
use crate::readable::printable;
use crate::{output, print};

/// The schema of PostgreSQL's tables, unless another one is created.
const DEFAULT_SCHEMA: &str = "public";

pub(crate) fn run(args: &Key) -> Result<ExitCode> {
    let default = |_: crate::name::Of<'_>| Ok(DEFAULT_SCHEMA.to_owned());
    let postgres = args.name.wanted(Dialect::Postgres, default)?;
    postgres.note_guess();
    let mut lines = Vec::new();
    if !postgres.is_number() {
        let mut is_known = true;
        let mysql = args.name.wanted(Dialect::Mysql, |_| {
            is_known = false;
            Ok(String::new())
        })?;
        match is_known {
            true => lines.push(("mysql", mysql.full_name())),
            false => output::note(
                "note: for the name on MySQL and MariaDB, pass the database as --schema",
            ),
        }
        lines.push(("postgres", postgres.full_name()));
    }
    let Columns {
        classid,
        objid,
        objsubid,
    } = postgres.columns();
    lines.extend([
        ("key", postgres.key().to_string()),
        ("classid", classid.to_string()),
        ("objid", objid.to_string()),
        ("objsubid", objsubid.to_string()),
    ]);
    let is_terminal = output::is_terminal();
    let line = |(label, value): (&str, String)| match is_terminal {
        true => format!("{label:<9} {}\n", printable(&value)),
        false => format!("{label}\t{}\n", printable(&value)),
    };
    print(&lines.into_iter().map(line).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}
