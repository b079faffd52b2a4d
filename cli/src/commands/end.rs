//! `diesel-lock end`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::args::{End, Format};
use crate::name::Wanted;
use crate::server::{Ending, Server};
use crate::{output, print};

const FREE: u8 = 1;
const NOT_ENDED: u8 = 3;
const STILL_HELD: u8 = 4;

pub(crate) fn run(url: Option<&str>, args: &End) -> Result<ExitCode> {
    let mut server = Server::connect(url)?;
    let wanted = server.wanted(&args.name)?;
    let mut notes = Vec::new();
    let lock = server.lock(&wanted, &mut notes)?;
    output::notes(&notes);
    let Some(lock) = lock else {
        output::note(&format!("{wanted} is free: there is no session to end"));
        return Ok(ExitCode::from(FREE));
    };
    let sessions = lock.holders.clone();
    let ids: Vec<u64> = sessions.iter().map(|it| it.connection).collect();
    let format = Format {
        json: false,
        statements: false,
    };
    output::locks(vec![lock], &format)?;
    if !args.yes && !confirm(&ids)? {
        output::note("no session was ended");
        return Ok(ExitCode::from(NOT_ENDED));
    }

    let mut ended = Vec::new();
    for session in &sessions {
        match server.end(&wanted, session)? {
            Ending::Requested => ended.push(session.connection),
            Ending::NotHolding => output::note(&format!(
                "connection {} no longer holds the lock, and was not ended",
                session.connection
            )),
        }
    }
    let holders = wait(&mut server, &wanted, &ended, args.wait)?;
    if holders.iter().any(|id| ended.contains(id)) {
        output::note(&format!(
            "{} still has the lock {} after the request to end the session; it may be \
             rolling back a transaction",
            connections(&ended),
            wanted
        ));
        return Ok(ExitCode::from(STILL_HELD));
    }
    let now = match holders.is_empty() {
        true => format!("{wanted} is free"),
        false => format!("{wanted} is now held by {}", connections(&holders)),
    };
    if ended.is_empty() {
        output::note(&format!("no session was ended; {now}"));
        return Ok(ExitCode::from(match holders.is_empty() {
            true => FREE,
            false => NOT_ENDED,
        }));
    }
    print(&format!("ended {}; {now}\n", connections(&ended)))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks in the terminal.
fn confirm(ids: &[u64]) -> Result<bool> {
    let input = io::stdin();
    if !input.is_terminal() {
        bail!("the input is not a terminal, so there is no answer; pass --yes to end the session");
    }
    let mut out = io::stderr();
    write!(out, "End {}? [y/N] ", connections(ids))?;
    out.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Waits until none of these sessions holds the lock. Returns the holders.
fn wait(
    server: &mut Server,
    wanted: &Wanted,
    ended: &[u64],
    timeout: Duration,
) -> Result<Vec<u64>> {
    const PAUSE: Duration = Duration::from_millis(20);
    let since = Instant::now();
    loop {
        let holders = server.holders(wanted)?;
        if !holders.iter().any(|id| ended.contains(id)) || since.elapsed() >= timeout {
            return Ok(holders);
        }
        thread::sleep(PAUSE);
    }
}

fn connections(ids: &[u64]) -> String {
    let list: Vec<_> = ids.iter().map(u64::to_string).collect();
    let word = if ids.len() == 1 {
        "connection"
    } else {
        "connections"
    };
    format!("{word} {}", list.join(", "))
}
