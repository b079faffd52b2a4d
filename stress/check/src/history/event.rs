//! One line of a history: its types, its text, and how it is parsed.

use std::fmt;
use std::str::FromStr;

use super::words::{Claim, FaultKind, OpFault, Outcome, WorkerState};

/// The timeout of a call, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitMs(pub u64);

/// One line, without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Invoke {
        op: u32,
        thread: u16,
        operation: &'a str,
        names: &'a str,
        wait: WaitMs,
        source: &'a str,
    },
    Acquired {
        op: u32,
        session: Option<u64>,
        holder: Option<u64>,
    },
    Checked {
        op: u32,
        session: u64,
    },
    Injected {
        op: u32,
        fault: OpFault,
    },
    End {
        op: u32,
        wrote: &'a str,
    },
    Outcome {
        op: u32,
        word: Outcome,
        /// What the library's error says became of the work.
        claim: Option<Claim>,
    },
    Kept {
        op: u32,
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
        hit: bool,
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
                operation,
                names,
                wait,
                source,
            } => write!(
                f,
                "invoke {op} {thread} {operation} {names} {} {source}",
                wait.0
            ),
            Self::Acquired {
                op,
                session,
                holder,
            } => write!(f, "acquired {op} {} {}", OrDash(*session), OrDash(*holder)),
            Self::Checked { op, session } => write!(f, "checked {op} {session}"),
            Self::Injected { op, fault } => write!(f, "injected {op} {fault}"),
            Self::End { op, wrote } => write!(f, "end {op} {wrote}"),
            Self::Outcome { op, word, claim } => {
                write!(f, "outcome {op} {word} {}", OrDash(*claim))
            }
            Self::Kept { op } => write!(f, "kept {op}"),
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
            Self::Over { fault, hit } => {
                let word = if *hit { "done" } else { "missed" };
                write!(f, "over {fault} {word}")
            }
            Self::Final { name, value } => write!(f, "final {name} {value}"),
            Self::Left { thing, which } => write!(f, "left {thing} {which}"),
            Self::Done => f.write_str("done"),
        }
    }
}

struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(it) => write!(f, "{it}"),
            None => f.write_str("-"),
        }
    }
}

/// Parses one line. Returns `None` if it is not an event.
pub fn parse(line: &str) -> Option<(u64, Event<'_>)> {
    let mut words = line.split(' ');
    let time = field(words.next())?;
    let event = match words.next()? {
        "invoke" => Event::Invoke {
            op: field(words.next())?,
            thread: field(words.next())?,
            operation: words.next()?,
            names: words.next()?,
            wait: WaitMs(field(words.next())?),
            source: words.next()?,
        },
        "acquired" => Event::Acquired {
            op: field(words.next())?,
            session: or_dash(words.next()?)?,
            holder: or_dash(words.next()?)?,
        },
        "checked" => Event::Checked {
            op: field(words.next())?,
            session: field(words.next())?,
        },
        "injected" => Event::Injected {
            op: field(words.next())?,
            fault: field(words.next())?,
        },
        "end" => Event::End {
            op: field(words.next())?,
            wrote: words.next()?,
        },
        "outcome" => Event::Outcome {
            op: field(words.next())?,
            word: field(words.next())?,
            claim: or_dash(words.next()?)?,
        },
        "kept" => Event::Kept {
            op: field(words.next())?,
        },
        "unconnected" => Event::Unconnected {
            thread: field(words.next())?,
            source: words.next()?,
        },
        "drained" => Event::Drained {
            source: words.next()?,
            session: field(words.next())?,
            names: words.next()?,
        },
        "finished" => Event::Finished,
        "run" => {
            let rest = line.split_once(" run ")?.1;
            let (key, value) = rest.split_once(' ')?;
            return Some((time, Event::Run { key, value }));
        }
        "worker" => Event::Worker {
            number: field(words.next())?,
            state: field(words.next())?,
        },
        "begin" => Event::Begin {
            fault: field(words.next())?,
            kind: field(words.next())?,
            target: words.next()?,
        },
        "over" => Event::Over {
            fault: field(words.next())?,
            hit: match words.next()? {
                "done" => true,
                "missed" => false,
                _ => return None,
            },
        },
        "final" => Event::Final {
            name: words.next()?,
            value: field(words.next())?,
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

fn field<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

fn or_dash<T: FromStr>(word: &str) -> Option<Option<T>> {
    match word {
        "-" => Some(None),
        it => it.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_survives_a_round_trip() {
        let events = [
            Event::Invoke {
                op: 7,
                thread: 2,
                operation: "with_lock",
                names: "counters:3#send+=job",
                wait: WaitMs(45_000),
                source: "plain-direct",
            },
            Event::Acquired {
                op: 7,
                session: Some(12),
                holder: None,
            },
            Event::Checked { op: 7, session: 12 },
            Event::Kept { op: 7 },
            Event::End { op: 7, wrote: "-" },
            Event::End {
                op: 7,
                wrote: "counters:3=18+counters:4=7",
            },
            Event::Unconnected {
                thread: 1,
                source: "undersized",
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
                hit: false,
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
        let outcomes = Outcome::ALL.iter().map(|&word| Event::Outcome {
            op: 7,
            word,
            claim: None,
        });
        let claims = Claim::ALL.iter().map(|&claim| Event::Outcome {
            op: 7,
            word: Outcome::Lost,
            claim: Some(claim),
        });
        let injections = OpFault::ALL
            .iter()
            .map(|&fault| Event::Injected { op: 7, fault });
        let states = WorkerState::ALL
            .iter()
            .map(|&state| Event::Worker { number: 4, state });
        let faults = FaultKind::ALL.iter().map(|&kind| Event::Begin {
            fault: 3,
            kind,
            target: "session=12,name=counters:3",
        });
        let calls = outcomes.chain(claims).chain(injections);
        for event in events.into_iter().chain(calls).chain(states).chain(faults) {
            let line = format!("99 {event}");
            assert_eq!(parse(&line), Some((99, event)), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_events_are_refused() {
        for line in [
            "",
            "99",
            "99 nonsense",
            "x acquired 7 12 -",
            "99 acquired 7 12",
            "99 acquired 7 12 - -",
            "99 outcome 7 unheard-of -",
            "99 outcome 7 lost",
            "99 outcome 7 lost perhaps",
            "99 injected 7 lightning",
            "99 begin 1 earthquake -",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
