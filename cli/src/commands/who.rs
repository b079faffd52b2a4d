//! `diesel-lock who`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Who;
use crate::output;
use crate::server::Server;

const FREE: u8 = 1;

pub(crate) fn run(url: Option<&str>, args: &Who) -> Result<ExitCode> {
    let mut server = Server::connect(url)?;
    let wanted = server.wanted(&args.name)?;
    let mut notes = Vec::new();
    let lock = server.lock(&wanted, &mut notes)?;
    output::notes(&notes);
    let code = match lock {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(FREE),
    };
    if lock.is_none() && !args.format.json {
        output::note(&format!("{wanted} is free"));
    }
    output::locks(lock.into_iter().collect(), &args.format)?;
    Ok(code)
}
