//! `diesel-lock list`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::List;
use crate::output;
use crate::server::Server;

pub(crate) fn run(url: Option<&str>, args: &List) -> Result<ExitCode> {
    let mut notes = Vec::new();
    let locks = Server::connect(url)?.locks(&mut notes)?;
    output::notes(&notes);
    if locks.is_empty() && !args.format.json {
        output::note("no lock is held");
    }
    output::locks(locks, &args.format)?;
    Ok(ExitCode::SUCCESS)
}
