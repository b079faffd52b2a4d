//! One line of a history, written and read.

use std::fmt;
use std::str::FromStr;

use super::words::{Claim, FaultKind, OpFault, Outcome, WorkerState};

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
    Struck {
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
        /// What the error says of the work, if it is one of the library's.
        claim: Option<Claim>,
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
            Self::Struck { op, fault } => write!(f, "struck {op} {fault}"),
            Self::End { op, wrote } => write!(f, "end {op} {wrote}"),
            Self::Outcome { op, word, claim } => {
                write!(f, "outcome {op} {word} {}", Maybe(*claim))
            }
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

struct Maybe<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(it) => write!(f, "{it}"),
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
        "struck" => Event::Struck {
            op: number(words.next())?,
            fault: number(words.next())?,
        },
        "end" => Event::End {
            op: number(words.next())?,
            wrote: words.next()?,
        },
        "outcome" => Event::Outcome {
            op: number(words.next())?,
            word: number(words.next())?,
            claim: maybe(words.next()?)?,
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

fn maybe<T: FromStr>(word: &str) -> Option<Option<T>> {
    match word {
        "-" => Some(None),
        it => it.parse().ok().map(Some),
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
        let words = Outcome::ALL.iter().map(|&word| Event::Outcome {
            op: 7,
            word,
            claim: None,
        });
        let claims = Claim::ALL.iter().map(|&claim| Event::Outcome {
            op: 7,
            word: Outcome::Lost,
            claim: Some(claim),
        });
        let strikes = OpFault::ALL
            .iter()
            .map(|&fault| Event::Struck { op: 7, fault });
        let states = WorkerState::ALL
            .iter()
            .map(|&state| Event::Worker { number: 4, state });
        let faults = FaultKind::ALL.iter().map(|&kind| Event::Begin {
            fault: 3,
            kind,
            target: "session=12,name=counters:3",
        });
        let words = words.chain(claims).chain(strikes);
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
            "99 outcome 7 splendid -",
            "99 outcome 7 lost",
            "99 outcome 7 lost perhaps",
            "99 struck 7 lightning",
            "99 begin 1 earthquake -",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
