//! `diesel-lock watch`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::Serialize;

use crate::args::Watch;
use crate::lock::{Lock, Session};
use crate::output::{self, account};
use crate::readable::{duration, printable};
use crate::server::Server;
use crate::{print, table};

pub(crate) fn run(url: Option<&str>, args: &Watch) -> Result<ExitCode> {
    let mut server = None;
    let is_screen = output::is_terminal() && !args.json;
    let mut seen = Seen::default();
    let mut noted = BTreeSet::new();
    let mut is_first = true;
    loop {
        let mut notes = Vec::new();
        let locks = match look(&mut server, url, &mut notes) {
            Ok(locks) => Some(locks),
            // A wrong URL or a missing privilege.
            Err(error) if is_first => return Err(error),
            Err(error) => {
                // The server may have restarted: the next round connects again.
                server = None;
                notes.push(format!("warning: {error:#}"));
                None
            }
        };
        if is_screen {
            let clear = if is_first { "\x1b[2J" } else { "" };
            print(&(clear.to_owned() + &screen(args.interval, locks, &notes)))?;
        } else {
            for note in notes.iter().filter(|note| !noted.contains(*note)) {
                output::note(note);
            }
            noted = notes.into_iter().collect();
            if let Some(locks) = locks {
                let now = Seen::of(&locks);
                let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
                print(&lines(&now.changes_since(&seen, &time), args.json)?)?;
                seen = now;
            }
        }
        is_first = false;
        if !pause(args.interval) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn look(
    server: &mut Option<Server>,
    url: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Vec<Lock>> {
    let server = match server {
        Some(server) => server,
        None => server.insert(Server::connect(url)?),
    };
    server.locks(notes)
}

/// Without the statements, which `list --statements` prints.
fn strip(mut locks: Vec<Lock>) -> Vec<Lock> {
    let sessions = locks.iter_mut().flat_map(Lock::sessions_mut);
    sessions.for_each(|session| session.statement = None);
    locks
}

/// Replaces what the terminal shows, without clearing it first, so that it does not flicker.
fn screen(interval: Duration, locks: Option<Vec<Lock>>, notes: &[String]) -> String {
    let (width, height) = table::size();
    let mut text = format!("diesel-lock: every {}, Ctrl-C ends\n", duration(interval));
    match locks {
        Some(locks) if locks.is_empty() => text += "no lock is held\n",
        Some(locks) => text += &table::text(&strip(locks), width),
        None => {}
    }
    text.extend(notes.iter().map(|note| format!("{}\n", printable(note))));
    // The last line stays free for the cursor.
    let room = height.saturating_sub(2);
    let mut screen = "\x1b[H".to_owned();
    for line in text.lines().take(room) {
        screen += &format!("{line}\x1b[K\n");
    }
    if text.lines().count() > room {
        screen += "…\x1b[K\n";
    }
    screen + "\x1b[J"
}

/// Waits. Returns false if the reader of the output has ended.
#[cfg(unix)]
fn pause(interval: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let Ok(timeout) = Timespec::try_from(interval) else {
        thread::sleep(interval);
        return true;
    };
    let out = io::stdout();
    // Without any event to wait for, poll reports only errors and a closed pipe.
    let mut fds = [PollFd::new(&out, PollFlags::empty())];
    !matches!(poll(&mut fds, Some(&timeout)), Ok(1..))
}

#[cfg(not(unix))]
fn pause(interval: Duration) -> bool {
    thread::sleep(interval);
    true
}

/// What a round saw.
#[derive(Default)]
struct Seen {
    holders: Sessions,
    waiters: Sessions,
}

/// The name of the lock and the session, by the lock and the connection. A lock of PostgreSQL is
/// known by its key: its name appears while a session waits.
type Sessions = BTreeMap<(String, u64), (String, Session)>;

/// A line of the output.
#[derive(Serialize)]
struct Change<'s> {
    time: &'s str,
    change: Kind,
    name: &'s str,
    connection: u64,
    user: Option<&'s str>,
    host: Option<&'s str>,
    #[serde(skip)]
    account: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Held,
    Released,
    Waiting,
    Left,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Held => "held",
            Kind::Released => "released",
            Kind::Waiting => "waiting",
            Kind::Left => "left",
        }
    }
}

impl Seen {
    fn of(locks: &[Lock]) -> Self {
        let mut seen = Self::default();
        for lock in locks {
            let id = lock.postgres_key.as_ref().unwrap_or(&lock.name);
            let entry = |session: &Session| {
                let key = (id.clone(), session.connection);
                (key, (lock.name.clone(), session.clone()))
            };
            seen.holders.extend(lock.holders.iter().map(entry));
            seen.waiters.extend(lock.waiters.iter().map(entry));
        }
        seen
    }

    /// What ended comes first.
    fn changes_since<'s>(&'s self, before: &'s Self, time: &'s str) -> Vec<Change<'s>> {
        let change = |change, (name, session): &'s (String, Session)| Change {
            time,
            change,
            name,
            connection: session.connection,
            user: session.user.as_deref(),
            host: session.host.as_deref(),
            account: account(session),
        };
        let released = missing(&before.holders, &self.holders);
        let left = missing(&before.waiters, &self.waiters)
            .filter(|(key, _)| !self.holders.contains_key(key));
        let held = missing(&self.holders, &before.holders);
        let waiting = missing(&self.waiters, &before.waiters);
        (released.map(|(_, it)| change(Kind::Released, it)))
            .chain(left.map(|(_, it)| change(Kind::Left, it)))
            .chain(held.map(|(_, it)| change(Kind::Held, it)))
            .chain(waiting.map(|(_, it)| change(Kind::Waiting, it)))
            .collect()
    }
}

/// The entries of one map whose keys another one does not have.
fn missing<'s>(
    from: &'s Sessions,
    to: &Sessions,
) -> impl Iterator<Item = (&'s (String, u64), &'s (String, Session))> {
    from.iter().filter(|(key, _)| !to.contains_key(key))
}

fn lines(changes: &[Change<'_>], is_json: bool) -> Result<String> {
    let mut text = String::new();
    for change in changes {
        if is_json {
            text += &serde_json::to_string(change)?;
        } else {
            let name = printable(change.name);
            let fields = [
                change.time,
                change.change.word(),
                &name,
                &change.connection.to_string(),
                &change.account,
            ];
            text += &fields.join("\t");
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use crate::lock::Mode;

    use super::*;

    fn lock(name: &str, key: Option<&str>, holders: &[u64], waiters: &[u64]) -> Lock {
        let sessions = |ids: &[u64]| ids.iter().copied().map(Session::unknown).collect();
        Lock {
            name: name.to_owned(),
            schema: None,
            postgres_key: key.map(str::to_owned),
            mode: Mode::Exclusive,
            held: None,
            held_is_exact: false,
            holders: sessions(holders),
            waiters: sessions(waiters),
        }
    }

    fn changes(before: &[Lock], now: &[Lock]) -> Vec<(Kind, u64)> {
        let (before, now) = (Seen::of(before), Seen::of(now));
        let changes = now.changes_since(&before, "");
        changes
            .iter()
            .map(|it| (it.change, it.connection))
            .collect()
    }

    #[test]
    fn waiter_that_gets_the_lock_has_not_left() {
        let before = lock("a", None, &[1], &[2, 3]);
        let after = lock("a", None, &[2], &[4]);
        let expected = [
            (Kind::Released, 1),
            (Kind::Left, 3),
            (Kind::Held, 2),
            (Kind::Waiting, 4),
        ];
        assert_eq!(changes(&[before], &[after]), expected);
    }

    #[test]
    fn name_that_becomes_known_is_no_change() {
        let unknown = lock("42", Some("42"), &[1], &[]);
        let known = lock("by-hand", Some("42"), &[1], &[]);
        assert_eq!(changes(&[unknown], &[known]), []);
    }

    #[test]
    fn session_with_two_locks_is_listed_twice() {
        let now = [lock("a", None, &[1], &[]), lock("b", None, &[1], &[])];
        assert_eq!(changes(&[], &now), [(Kind::Held, 1), (Kind::Held, 1)]);
    }
}
