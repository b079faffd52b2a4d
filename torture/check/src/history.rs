//! The history: what everybody did and when, one event a line.
//!
//! A run has a directory. The coordinator writes `coordinator.history` there, each worker process
//! `worker-<number>.history`, and `effects/` has what the bodies did to the world outside of the
//! database. A file's first line is
//!
//! ```text
//! torture-history 1
//! ```
//!
//! and each further line is a time, a word, and what the word takes, with one space between them. The
//! time is nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share. A line goes out
//! as one `write`, so that a killed process leaves whole lines; a last line without its newline is
//! counted and not read. `-` stands for nothing. Names of locks are as the library displays them, and
//! contain no space; several are joined by `+`.
//!
//! Workers write:
//!
//! | line | meaning |
//! |---|---|
//! | `invoke OP THREAD WAY NAMES WAIT SOURCE` | a lock is about to be asked for; `WAIT` in milliseconds |
//! | `granted OP SESSION HOLDER` | the body has begun: the connection's id there, and whom the server calls the lock's holder |
//! | `stolen OP` | the body gave the lock back behind the library's back |
//! | `end OP WROTE` | the body has ended; `WROTE` is `NAME=VALUE` of each counter that is about to be committed, joined by `+` |
//! | `outcome OP WORD` | what the caller was told; the words are [`Outcome`] |
//! | `unconnected THREAD SOURCE` | no connection could be had |
//! | `drained SOURCE SESSION NAMES` | at the end: the locks that an idle connection still holds |
//! | `finished` | the worker's last line |
//!
//! `WAY` is the way of locking; `left_open` and `in_transaction` must never succeed. `SOURCE` is the kind of
//! connection, with `squeezed` in it if there are fewer than threads, and with `-direct` after it if it does not go
//! through the proxy. An operation is nested in another of its thread that has no outcome yet.
//!
//! The coordinator writes:
//!
//! | line | meaning |
//! |---|---|
//! | `run KEY VALUE` | seed, server and the like, for the reader |
//! | `worker NUMBER STATE` | [`WorkerState`] |
//! | `begin FAULT KIND TARGET` | a fault is about to be caused; `TARGET` is `KEY=VALUE,..` |
//! | `over FAULT WORD` | it has been caused, and what lasted is over: `done`, or `missed` if it struck nothing |
//! | `final NAME VALUE` | what is in a counter at the end; all began at 0 |
//! | `left THING WHICH` | found at the end: a `lock`, `session`, `process` or `directory` |
//! | `done` | everything at the end was looked at |

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::time::{ClockId, clock_gettime};

/// A file's first line.
pub const HEADER: &str = "torture-history 1";

/// The coordinator's file.
pub const COORDINATOR: &str = "coordinator.history";

/// Where bodies leave their traces, one file for each lock.
pub const EFFECTS: &str = "effects";

/// A worker's file.
pub fn worker_file(number: u32) -> String {
    format!("worker-{number}.history")
}

/// The file of a lock's effects; a name may contain what a file's must not.
pub fn effects_file(directory: &Path, name: &str) -> PathBuf {
    let file: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    directory.join(EFFECTS).join(file)
}

/// Nanoseconds on the clock that all processes share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither part is ever negative on this clock.
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
    };
}

words! {
    /// What the caller of a lock was told.
    Outcome {
        /// The body ran, and the lock was held throughout.
        Ok = "ok",
        /// Somebody else has it, and we were not to wait.
        Busy = "busy",
        Timeout = "timeout",
        Deadlock = "deadlock",
        Interrupted = "interrupted",
        /// Refused inside an open transaction.
        OpenTransaction = "open-transaction",
        /// The body left a transaction open, which was rolled back.
        LeftOpen = "left-open",
        /// Lost: the server could not be asked.
        Lost = "lost",
        /// Lost: the server said that the lock was not ours.
        Disowned = "disowned",
        /// The row does not exist.
        Gone = "gone",
        /// Another error of the database, from the library.
        Database = "database",
        /// An error of the database, from the body's own statements.
        BodyDatabase = "body-database",
        /// No connection could be had from a pool.
        Pool = "pool",
        /// The body failed on purpose.
        Failed = "failed",
        /// The body panicked on purpose.
        Panicked = "panicked",
        /// A guard was dropped: nobody was told anything.
        Dropped = "dropped",
        /// None of these: the library said what it must not say.
        Other = "other",
    }
}

words! {
    /// A worker process, as the coordinator sees it.
    WorkerState {
        Started = "started",
        /// By the coordinator, on purpose.
        Killed = "killed",
        /// In good order, having been told to.
        Exited = "exited",
        /// On its own, or with an error.
        Failed = "failed",
        /// It did not end when it was told to, and was killed.
        Hung = "hung",
    }
}

words! {
    /// What is done to make things go wrong.
    FaultKind {
        /// The session of somebody who holds a lock is ended by the server.
        KillHolder = "kill-holder",
        /// The same for somebody who waits for one.
        KillWaiter = "kill-waiter",
        /// The statement of a holder is ended.
        InterruptHolder = "interrupt-holder",
        InterruptWaiter = "interrupt-waiter",
        /// One session gets `KILL QUERY` hundreds of times.
        Storm = "storm",
        /// SIGKILL to a worker.
        WorkerKill = "worker-kill",
        /// SIGSTOP, and some time later SIGCONT.
        WorkerStop = "worker-stop",
        /// SIGKILL to the server.
        ServerKill = "server-kill",
        /// What follows: until it answers again. Not a fault of its own.
        ServerStart = "server-start",
        ServerPause = "server-pause",
        /// The proxy closes all connections.
        CutAll = "cut-all",
        CutOne = "cut-one",
        /// The proxy passes nothing on for some time.
        Stall = "stall",
        /// The proxy passes everything on late.
        Delay = "delay",
        /// The server ends sessions that are idle for a second.
        WaitTimeout = "wait-timeout",
    }
}

impl FaultKind {
    /// Whether it can end a session.
    pub fn ends_sessions(self) -> bool {
        matches!(
            self,
            Self::KillHolder
                | Self::KillWaiter
                | Self::ServerKill
                | Self::CutAll
                | Self::CutOne
                | Self::WaitTimeout
        )
    }

    /// Whether it fails statements and leaves the session alive.
    pub fn ends_statements(self) -> bool {
        matches!(
            self,
            Self::InterruptHolder | Self::InterruptWaiter | Self::Storm
        )
    }

    /// Whether nobody gets an answer while it lasts.
    pub fn is_outage(self) -> bool {
        matches!(
            self,
            Self::ServerKill | Self::ServerStart | Self::ServerPause | Self::Stall | Self::Delay
        )
    }

    /// Whether it is counted: a consequence is not.
    pub fn is_counted(self) -> bool {
        self != Self::ServerStart
    }
}

/// How long a lock may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitMs(pub u64);

/// One line, without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Invoke {
        op: u32,
        thread: u16,
        way: &'a str,
        names: &'a str,
        wait: WaitMs,
        source: &'a str,
    },
    Granted {
        op: u32,
        session: Option<u64>,
        holder: Option<u64>,
    },
    Stolen {
        op: u32,
    },
    End {
        op: u32,
        wrote: &'a str,
    },
    Outcome {
        op: u32,
        word: Outcome,
    },
    Unconnected {
        thread: u16,
        source: &'a str,
    },
    Drained {
        source: &'a str,
        session: u64,
        names: &'a str,
    },
    Finished,
    Run {
        key: &'a str,
        value: &'a str,
    },
    Worker {
        number: u32,
        state: WorkerState,
    },
    Begin {
        fault: u32,
        kind: FaultKind,
        target: &'a str,
    },
    Over {
        fault: u32,
        struck: bool,
    },
    Final {
        name: &'a str,
        value: i64,
    },
    Left {
        thing: &'a str,
        which: &'a str,
    },
    Done,
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invoke {
                op,
                thread,
                way,
                names,
                wait,
                source,
            } => write!(f, "invoke {op} {thread} {way} {names} {} {source}", wait.0),
            Self::Granted {
                op,
                session,
                holder,
            } => write!(f, "granted {op} {} {}", Maybe(*session), Maybe(*holder)),
            Self::Stolen { op } => write!(f, "stolen {op}"),
            Self::End { op, wrote } => write!(f, "end {op} {wrote}"),
            Self::Outcome { op, word } => write!(f, "outcome {op} {word}"),
            Self::Unconnected { thread, source } => write!(f, "unconnected {thread} {source}"),
            Self::Drained {
                source,
                session,
                names,
            } => write!(f, "drained {source} {session} {names}"),
            Self::Finished => f.write_str("finished"),
            Self::Run { key, value } => write!(f, "run {key} {value}"),
            Self::Worker { number, state } => write!(f, "worker {number} {state}"),
            Self::Begin {
                fault,
                kind,
                target,
            } => write!(f, "begin {fault} {kind} {target}"),
            Self::Over { fault, struck } => {
                let word = if *struck { "done" } else { "missed" };
                write!(f, "over {fault} {word}")
            }
            Self::Final { name, value } => write!(f, "final {name} {value}"),
            Self::Left { thing, which } => write!(f, "left {thing} {which}"),
            Self::Done => f.write_str("done"),
        }
    }
}

struct Maybe(Option<u64>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("-"),
        }
    }
}

/// Reads one line; `None` if it is none of these.
pub fn parse(line: &str) -> Option<(u64, Event<'_>)> {
    let mut words = line.split(' ');
    let time = number(words.next())?;
    let event = match words.next()? {
        "invoke" => Event::Invoke {
            op: number(words.next())?,
            thread: number(words.next())?,
            way: words.next()?,
            names: words.next()?,
            wait: WaitMs(number(words.next())?),
            source: words.next()?,
        },
        "granted" => Event::Granted {
            op: number(words.next())?,
            session: maybe(words.next()?)?,
            holder: maybe(words.next()?)?,
        },
        "stolen" => Event::Stolen {
            op: number(words.next())?,
        },
        "end" => Event::End {
            op: number(words.next())?,
            wrote: words.next()?,
        },
        "outcome" => Event::Outcome {
            op: number(words.next())?,
            word: number(words.next())?,
        },
        "unconnected" => Event::Unconnected {
            thread: number(words.next())?,
            source: words.next()?,
        },
        "drained" => Event::Drained {
            source: words.next()?,
            session: number(words.next())?,
            names: words.next()?,
        },
        "finished" => Event::Finished,
        "run" => {
            let rest = line.split_once(" run ")?.1;
            let (key, value) = rest.split_once(' ')?;
            return Some((time, Event::Run { key, value }));
        }
        "worker" => Event::Worker {
            number: number(words.next())?,
            state: number(words.next())?,
        },
        "begin" => Event::Begin {
            fault: number(words.next())?,
            kind: number(words.next())?,
            target: words.next()?,
        },
        "over" => Event::Over {
            fault: number(words.next())?,
            struck: match words.next()? {
                "done" => true,
                "missed" => false,
                _ => return None,
            },
        },
        "final" => Event::Final {
            name: words.next()?,
            value: number(words.next())?,
        },
        "left" => Event::Left {
            thing: words.next()?,
            which: words.next()?,
        },
        "done" => Event::Done,
        _ => return None,
    };
    words.next().is_none().then_some((time, event))
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

fn maybe(word: &str) -> Option<Option<u64>> {
    match word {
        "-" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// A history file that is being written; threads may share it.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// Makes the file, which must not exist.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)?;
        (&file).write_all(format!("{HEADER}\n").as_bytes())?;
        Ok(Self { file })
    }

    /// Writes an event with the time of now, which it returns.
    ///
    /// Ends the process if it cannot: without a history nothing that it does is worth anything.
    pub fn write(&self, event: &Event<'_>) -> u64 {
        let time = now();
        let line = format!("{time} {event}\n");
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            eprintln!("cannot write the history: {error}");
            std::process::exit(3);
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let events = [
            Event::Invoke {
                op: 7,
                thread: 2,
                way: "with_lock",
                names: "counters:3#send+=job",
                wait: WaitMs(45_000),
                source: "plain-direct",
            },
            Event::Granted {
                op: 7,
                session: Some(12),
                holder: None,
            },
            Event::Stolen { op: 7 },
            Event::End { op: 7, wrote: "-" },
            Event::End {
                op: 7,
                wrote: "counters:3=18+counters:4=7",
            },
            Event::Unconnected {
                thread: 1,
                source: "squeezed",
            },
            Event::Drained {
                source: "pooled",
                session: 9,
                names: "-",
            },
            Event::Finished,
            Event::Run {
                key: "server",
                value: "mariadb 10.11 on Debian",
            },
            Event::Over {
                fault: 3,
                struck: false,
            },
            Event::Final {
                name: "counters:3",
                value: 18,
            },
            Event::Left {
                thing: "lock",
                which: "counters:3",
            },
            Event::Done,
        ];
        let words = Outcome::ALL
            .iter()
            .map(|&word| Event::Outcome { op: 7, word });
        let states = WorkerState::ALL
            .iter()
            .map(|&state| Event::Worker { number: 4, state });
        let faults = FaultKind::ALL.iter().map(|&kind| Event::Begin {
            fault: 3,
            kind,
            target: "session=12,name=counters:3",
        });
        for event in events.into_iter().chain(words).chain(states).chain(faults) {
            let line = format!("99 {event}");
            assert_eq!(parse(&line), Some((99, event)), "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            "99",
            "99 nonsense",
            "x granted 7 12 -",
            "99 granted 7 12",
            "99 granted 7 12 - -",
            "99 outcome 7 splendid",
            "99 begin 1 earthquake -",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
