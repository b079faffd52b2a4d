//! `diesel-lock check`.

use std::process::ExitCode;

use anyhow::Result;
use diesel_advisory_lock::server::{ServerCheck, ServerError};

use crate::args::Check;
use crate::print;
use crate::server::Server;

const REFUSED: u8 = 1;
const WARNINGS: u8 = 3;

pub(crate) fn run(url: Option<&str>, args: &Check) -> Result<ExitCode> {
    let mut check = ServerCheck::new();
    if let Some(keep_alive) = args.keep_alive {
        check = check.keep_alive(keep_alive);
    }
    let (report, code) = match Server::connect(url)?.check(check) {
        Ok(report) if args.strict && !report.findings().is_empty() => {
            (report, ExitCode::from(WARNINGS))
        }
        Ok(report) => (report, ExitCode::SUCCESS),
        Err(ServerError::Refused { report, .. }) => (*report, ExitCode::from(REFUSED)),
        Err(error) => return Err(error.into()),
    };
    print(&format!("{report}\n"))?;
    Ok(code)
}
