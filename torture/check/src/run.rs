//! A whole run, put together from the files of its directory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use crate::history::{self, Event, FaultKind, Outcome, WaitMs, WorkerState};

/// Everything that is known about a run.
#[derive(Debug, Default)]
pub struct Run {
    /// Seed, server and the like, as the coordinator wrote them.
    pub facts: BTreeMap<String, String>,
    /// Sorted by the time of their invocation.
    pub ops: Vec<Op>,
    pub faults: Vec<Fault>,
    pub workers: BTreeMap<u32, Worker>,
    pub drained: Vec<Drained>,
    pub unconnected: usize,
    /// What was in the counters at the end.
    pub finals: BTreeMap<String, i64>,
    /// What was found at the end.
    pub left: Vec<(String, String)>,
    /// Whether the coordinator came to its end.
    pub done: bool,
    /// Lines that a killed process did not complete.
    pub torn: usize,
    /// For each lock, the begins and ends in the order in which they reached its file.
    pub effects: BTreeMap<String, Vec<Effect>>,
    /// When the server was killed.
    kills: Vec<u64>,
    /// The first and the last time in any file.
    pub from: u64,
    pub to: u64,
}

/// One call that takes locks.
#[derive(Debug)]
pub struct Op {
    pub worker: u32,
    pub thread: u16,
    pub id: u32,
    /// The operation of the same thread that this one is nested in, by its place in [`Run::ops`].
    pub parent: Option<usize>,
    pub way: Rc<str>,
    pub names: Rc<[Rc<str>]>,
    pub wait: WaitMs,
    pub source: Rc<str>,
    pub invoked: u64,
    pub granted: Option<u64>,
    pub session: Option<u64>,
    pub holder: Option<u64>,
    pub stolen: bool,
    pub ended: Option<u64>,
    /// The counters that it is about to commit, and their values.
    pub wrote: Vec<(Rc<str>, i64)>,
    pub outcome: Option<(u64, Outcome)>,
}

impl Op {
    pub fn is(&self, outcome: Outcome) -> bool {
        self.outcome.is_some_and(|(_, word)| word == outcome)
    }

    /// When the body ran, if it began and ended.
    pub fn body(&self) -> Option<(u64, u64)> {
        self.granted.zip(self.ended)
    }

    /// The last that is known of it.
    pub fn last(&self) -> u64 {
        let outcome = self.outcome.map(|(time, _)| time);
        outcome
            .or(self.ended)
            .or(self.granted)
            .unwrap_or(self.invoked)
    }

    pub fn is_of_thread(&self, other: &Op) -> bool {
        (self.worker, self.thread) == (other.worker, other.thread)
    }

    pub fn goes_through_proxy(&self) -> bool {
        !self.source.ends_with("-direct")
    }
}

/// Something that was made to go wrong.
#[derive(Debug)]
pub struct Fault {
    pub id: u32,
    pub kind: FaultKind,
    pub target: String,
    pub begun: u64,
    /// `None`: the run ended first.
    pub over: Option<u64>,
    pub struck: bool,
}

impl Fault {
    /// A part of the target.
    pub fn target(&self, key: &str) -> Option<&str> {
        self.target
            .split(',')
            .filter_map(|part| part.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    pub fn session(&self) -> Option<u64> {
        self.target("session")?.parse().ok()
    }

    pub fn worker(&self) -> Option<u32> {
        self.target("worker")?.parse().ok()
    }

    pub fn end(&self) -> u64 {
        self.over.unwrap_or(u64::MAX)
    }

    /// How much of the time between `from` and `to` it lasted.
    pub fn overlap(&self, from: u64, to: u64) -> u64 {
        self.end().min(to).saturating_sub(self.begun.max(from))
    }
}

#[derive(Debug, Default)]
pub struct Worker {
    pub started: Option<u64>,
    pub ended: Option<(u64, WorkerState)>,
    /// Wrote its last line.
    pub finished: bool,
}

/// An idle connection that was asked for its locks.
#[derive(Debug)]
pub struct Drained {
    pub worker: u32,
    pub time: u64,
    pub source: String,
    pub session: u64,
    pub names: Option<String>,
}

/// A line in a file that bodies write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    pub begin: bool,
    pub worker: u32,
    pub op: u32,
}

impl Run {
    /// Reads a run's directory.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or contains what is no history.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut run = Self {
            from: u64::MAX,
            ..Self::default()
        };
        let mut words = Words::default();
        run.read_coordinator(&text(&directory.join(history::COORDINATOR))?)?;
        let numbers: Vec<_> = run.workers.keys().copied().collect();
        for number in numbers {
            let file = history::worker_file(number);
            let path = directory.join(&file);
            // It may have been killed before it wrote a line.
            if path.exists() {
                let read = run.read_worker(number, &text(&path)?, &mut words);
                read.with_context(|| file)?;
            }
        }
        run.read_effects(directory)?;
        run.sort();
        Ok(run)
    }

    fn read_coordinator(&mut self, text: &str) -> Result<()> {
        for (time, event) in lines(text, &mut self.torn)? {
            self.see(time);
            match event {
                Event::Run { key, value } => {
                    self.facts.insert(key.to_owned(), value.to_owned());
                }
                Event::Worker { number, state } => {
                    let worker = self.workers.entry(number).or_default();
                    match state {
                        WorkerState::Started => worker.started = Some(time),
                        state => worker.ended = Some((time, state)),
                    }
                }
                Event::Begin {
                    fault,
                    kind,
                    target,
                } => self.faults.push(Fault {
                    id: fault,
                    kind,
                    target: target.to_owned(),
                    begun: time,
                    over: None,
                    struck: true,
                }),
                Event::Over { fault, struck } => {
                    let Some(fault) = self.faults.iter_mut().rev().find(|f| f.id == fault) else {
                        bail!("fault {fault} is over, but never began");
                    };
                    fault.over = Some(time);
                    fault.struck = struck;
                }
                Event::Final { name, value } => {
                    self.finals.insert(name.to_owned(), value);
                }
                Event::Left { thing, which } => {
                    self.left.push((thing.to_owned(), which.to_owned()));
                }
                Event::Done => self.done = true,
                other => bail!("the coordinator cannot have written `{other}`"),
            }
        }
        Ok(())
    }

    fn read_worker(&mut self, worker: u32, text: &str, words: &mut Words) -> Result<()> {
        let mut places: HashMap<u32, usize> = HashMap::new();
        let mut open: HashMap<u16, Vec<usize>> = HashMap::new();
        for (time, event) in lines(text, &mut self.torn)? {
            self.see(time);
            let find = |id: u32| match places.get(&id) {
                Some(&place) => Ok(place),
                None => bail!("operation {id} was never invoked"),
            };
            match event {
                Event::Invoke {
                    op,
                    thread,
                    way,
                    names,
                    wait,
                    source,
                } => {
                    let stack = open.entry(thread).or_default();
                    let place = self.ops.len();
                    ensure!(places.insert(op, place).is_none(), "{op} is invoked twice");
                    self.ops.push(Op {
                        worker,
                        thread,
                        id: op,
                        parent: stack.last().copied(),
                        way: words.get(way),
                        names: words.list(names),
                        wait,
                        source: words.get(source),
                        invoked: time,
                        granted: None,
                        session: None,
                        holder: None,
                        stolen: false,
                        ended: None,
                        wrote: Vec::new(),
                        outcome: None,
                    });
                    stack.push(place);
                }
                Event::Granted {
                    op,
                    session,
                    holder,
                } => {
                    let op = &mut self.ops[find(op)?];
                    (op.granted, op.session, op.holder) = (Some(time), session, holder);
                }
                Event::Stolen { op } => self.ops[find(op)?].stolen = true,
                Event::End { op, wrote } => {
                    let op = &mut self.ops[find(op)?];
                    op.ended = Some(time);
                    op.wrote = words.counters(wrote)?;
                }
                Event::Outcome { op: id, word } => {
                    let place = find(id)?;
                    let op = &mut self.ops[place];
                    op.outcome = Some((time, word));
                    let closed = open.entry(op.thread).or_default().pop();
                    ensure!(
                        closed == Some(place),
                        "operation {id} ends before one that is nested in it"
                    );
                }
                Event::Unconnected { .. } => self.unconnected += 1,
                Event::Drained {
                    source,
                    session,
                    names,
                } => self.drained.push(Drained {
                    worker,
                    time,
                    source: source.to_owned(),
                    session,
                    names: (names != "-").then(|| names.to_owned()),
                }),
                Event::Finished => self.workers.entry(worker).or_default().finished = true,
                other => bail!("a worker cannot have written `{other}`"),
            }
        }
        Ok(())
    }

    fn read_effects(&mut self, directory: &Path) -> Result<()> {
        let names: Vec<Rc<str>> = {
            let mut seen: BTreeMap<&str, &Rc<str>> = BTreeMap::new();
            for op in &self.ops {
                for name in op.names.iter() {
                    seen.insert(name, name);
                }
            }
            seen.into_values().cloned().collect()
        };
        for name in names {
            let path = history::effects_file(directory, &name);
            if path.exists() {
                let effects = effects(&text(&path)?, &mut self.torn);
                let effects = effects.with_context(|| path.display().to_string())?;
                self.effects.insert(name.to_string(), effects);
            }
        }
        Ok(())
    }

    /// By time; parents keep their places in the new order.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.ops.len()).collect();
        order.sort_by_key(|&place| self.ops[place].invoked);
        let mut new_places = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            new_places[old] = new;
        }
        for op in &mut self.ops {
            op.parent = op.parent.map(|old| new_places[old]);
        }
        self.ops.sort_by_key(|op| op.invoked);
        let kills = self.faults.iter();
        self.kills = kills
            .filter(|fault| fault.kind == FaultKind::ServerKill)
            .map(|fault| fault.begun)
            .collect();
    }

    fn see(&mut self, time: u64) {
        self.from = self.from.min(time);
        self.to = self.to.max(time);
    }

    /// When a worker's process was there no more.
    pub fn death(&self, worker: u32) -> Option<u64> {
        let (time, _) = self.workers.get(&worker)?.ended?;
        Some(time)
    }

    /// Whether a worker was killed on purpose, so that its last operations have no outcome.
    pub fn was_killed(&self, worker: u32) -> bool {
        let ended = self.workers.get(&worker).and_then(|worker| worker.ended);
        matches!(ended, Some((_, WorkerState::Killed)))
    }

    /// How often the server had been killed by then. Connection ids start over each time.
    pub fn incarnation(&self, time: u64) -> usize {
        self.kills.partition_point(|&kill| kill <= time)
    }
}

fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is no text", path.display()))
}

/// The whole lines of a text. What comes after the last newline was being written at somebody's
/// death.
fn whole<'t>(text: &'t str, torn: &mut usize) -> &'t str {
    let end = text.rfind('\n').map_or(0, |newline| newline + 1);
    *torn += usize::from(end < text.len());
    &text[..end]
}

fn lines<'t>(
    text: &'t str,
    torn: &mut usize,
) -> Result<impl Iterator<Item = (u64, Event<'t>)> + use<'t>> {
    let mut lines = whole(text, torn).lines();
    match lines.next() {
        Some(history::HEADER) | None => {}
        Some(other) => bail!("the first line is `{other}`, not `{}`", history::HEADER),
    }
    let mut events = Vec::new();
    for (number, line) in lines.enumerate() {
        match history::parse(line) {
            Some(event) => events.push(event),
            None => bail!("line {} is no event: `{line}`", number + 2),
        }
    }
    Ok(events.into_iter())
}

fn effects(text: &str, torn: &mut usize) -> Result<Vec<Effect>> {
    let effect = |line: &str| {
        let mut words = line.split(' ');
        let begin = match words.next()? {
            "begin" => true,
            "end" => false,
            _ => return None,
        };
        let worker = words.next()?.parse().ok()?;
        let op = words.next()?.parse().ok()?;
        Some(Effect { begin, worker, op })
    };
    whole(text, torn)
        .lines()
        .map(|line| effect(line).with_context(|| format!("`{line}` is no effect")))
        .collect()
}

/// Each text once: a long run has millions of operations and a handful of names.
#[derive(Default)]
struct Words {
    words: HashMap<String, Rc<str>>,
    lists: HashMap<String, Rc<[Rc<str>]>>,
}

impl Words {
    fn get(&mut self, word: &str) -> Rc<str> {
        if let Some(known) = self.words.get(word) {
            return Rc::clone(known);
        }
        let new: Rc<str> = word.into();
        self.words.insert(word.to_owned(), Rc::clone(&new));
        new
    }

    fn counters(&mut self, joined: &str) -> Result<Vec<(Rc<str>, i64)>> {
        let parts = joined.split('+').filter(|&part| part != "-");
        parts
            .map(|part| {
                let read = part.rsplit_once('=').and_then(|(name, value)| {
                    let value = value.parse().ok()?;
                    Some((self.get(name), value))
                });
                read.with_context(|| format!("`{part}` is no counter with its value"))
            })
            .collect()
    }

    fn list(&mut self, joined: &str) -> Rc<[Rc<str>]> {
        if let Some(known) = self.lists.get(joined) {
            return Rc::clone(known);
        }
        let new: Rc<[Rc<str>]> = joined.split('+').map(|name| self.get(name)).collect();
        self.lists.insert(joined.to_owned(), Rc::clone(&new));
        new
    }
}
