//! Reads the files of a run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::texts::Texts;
use super::{Drained, Effect, Fault, Op, Run};
use crate::history::{self, Event, FaultKind, WorkerState};

pub(super) fn run(directory: &Path) -> Result<Run> {
    let mut run = Run {
        from: u64::MAX,
        ..Run::default()
    };
    let mut texts = Texts::default();
    coordinator(&mut run, &text(&directory.join(history::COORDINATOR))?)
        .context(history::COORDINATOR)?;
    ensure_all_known(&run, directory)?;
    let numbers: Vec<_> = run.workers.keys().copied().collect();
    for number in numbers {
        let file = history::worker_file(number);
        let path = directory.join(&file);
        // It may have been killed before it wrote a line.
        if path.exists() {
            worker(&mut run, number, &text(&path)?, &mut texts).context(file)?;
        }
    }
    effects(&mut run, directory)?;
    sort(&mut run);
    Ok(run)
}

/// What is left of another run would be judged by nobody.
fn ensure_all_known(run: &Run, directory: &Path) -> Result<()> {
    let known: HashSet<String> = run
        .workers
        .keys()
        .copied()
        .map(history::worker_file)
        .collect();
    for entry in fs::read_dir(directory)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let is_history = file.ends_with(".history") && file != history::COORDINATOR;
        ensure!(
            !is_history || known.contains(&file),
            "{file} is of nobody that was started"
        );
    }
    Ok(())
}

fn coordinator(run: &mut Run, text: &str) -> Result<()> {
    for event in events(text, &mut run.torn)? {
        let (time, event) = event?;
        see(run, time);
        match event {
            Event::Run { key, value } => {
                run.facts.insert(key.to_owned(), value.to_owned());
            }
            Event::Worker { number, state } => {
                let worker = run.workers.entry(number).or_default();
                match state {
                    WorkerState::Started => worker.started = Some(time),
                    state => worker.ended = Some((time, state)),
                }
            }
            Event::Begin {
                fault,
                kind,
                target,
            } => run.faults.push(Fault {
                id: fault,
                kind,
                target: target.to_owned(),
                begun: time,
                over: None,
                struck: true,
            }),
            Event::Over { fault, struck } => {
                let Some(fault) = run.faults.iter_mut().rev().find(|f| f.id == fault) else {
                    bail!("fault {fault} is over, but never began");
                };
                fault.over = Some(time);
                fault.struck = struck;
            }
            Event::Final { name, value } => {
                run.finals.insert(name.to_owned(), value);
            }
            Event::Left { thing, which } => {
                run.left.push((thing.to_owned(), which.to_owned()));
            }
            Event::Done => run.done = true,
            other => bail!("the coordinator cannot have written `{other}`"),
        }
    }
    Ok(())
}

fn worker(run: &mut Run, number: u32, text: &str, texts: &mut Texts) -> Result<()> {
    let mut ops = Numbers::default();
    for event in events(text, &mut run.torn)? {
        let (time, event) = event?;
        see(run, time);
        let worker = run.workers.entry(number).or_default();
        worker.wrote = worker.wrote.max(Some(time));
        match event {
            Event::Invoke {
                op,
                thread,
                way,
                names,
                wait,
                source,
            } => {
                let parent = ops.invoke(op, thread, run.ops.len())?;
                run.ops.push(Op {
                    worker: number,
                    thread,
                    id: op,
                    parent,
                    way: texts.word(way),
                    names: texts.names(names),
                    wait,
                    source: texts.word(source),
                    invoked: time,
                    granted: None,
                    session: None,
                    holder: None,
                    struck: Vec::new(),
                    ended: None,
                    wrote: Vec::new(),
                    outcome: None,
                    claim: None,
                });
            }
            Event::Granted {
                op: id,
                session,
                holder,
            } => {
                let op = &mut run.ops[ops.find(id)?];
                ensure!(op.granted.is_none(), "the body of {id} begins twice");
                (op.granted, op.session, op.holder) = (Some(time), session, holder);
            }
            Event::Struck { op, fault } => run.ops[ops.find(op)?].struck.push((time, fault)),
            Event::End { op: id, wrote } => {
                let op = &mut run.ops[ops.find(id)?];
                let begun = op.granted.is_some() && op.ended.is_none();
                ensure!(begun, "the body of {id} ends, but had not begun");
                op.ended = Some(time);
                op.wrote = texts.counters(wrote)?;
            }
            Event::Outcome {
                op: id,
                word,
                claim,
            } => {
                let op = &mut run.ops[ops.find(id)?];
                ops.close(id, op.thread)?;
                let inside = op.granted.is_some() && op.ended.is_none();
                ensure!(
                    !inside,
                    "operation {id} has an outcome, but its body has not ended"
                );
                op.outcome = Some((time, word));
                op.claim = claim;
            }
            Event::Unconnected { .. } => run.unconnected += 1,
            Event::Drained {
                source,
                session,
                names,
            } => run.drained.push(Drained {
                worker: number,
                time,
                source: source.to_owned(),
                session,
                names: (names != "-").then(|| names.to_owned()),
            }),
            Event::Finished => worker.finished = true,
            other => bail!("a worker cannot have written `{other}`"),
        }
    }
    Ok(())
}

/// The operations of a worker.
#[derive(Default)]
struct Numbers {
    /// Their places in [`Run::ops`].
    places: HashMap<u32, usize>,
    /// Those of each thread that have no outcome yet, the innermost last.
    open: HashMap<u16, Vec<u32>>,
}

impl Numbers {
    /// Gives the place of the operation that this one is nested in.
    fn invoke(&mut self, id: u32, thread: u16, place: usize) -> Result<Option<usize>> {
        let twice = self.places.insert(id, place).is_some();
        ensure!(!twice, "operation {id} is invoked twice");
        let open = self.open.entry(thread).or_default();
        let parent = open.last().map(|parent| self.places[parent]);
        open.push(id);
        Ok(parent)
    }

    fn find(&self, id: u32) -> Result<usize> {
        let place = self.places.get(&id).copied();
        place.with_context(|| format!("operation {id} was never invoked"))
    }

    fn close(&mut self, id: u32, thread: u16) -> Result<()> {
        let innermost = self.open.entry(thread).or_default().pop();
        ensure!(
            innermost == Some(id),
            "operation {id} has an outcome, but is not the innermost of its thread"
        );
        Ok(())
    }
}

fn effects(run: &mut Run, directory: &Path) -> Result<()> {
    let names: BTreeMap<&str, &Rc<str>> = {
        let all = run.ops.iter().flat_map(|op| op.names.iter());
        all.map(|name| (&**name, name)).collect()
    };
    for name in names.into_keys() {
        let path = history::effects_file(directory, name);
        if path.exists() {
            let effects = parse_effects(&text(&path)?, &mut run.torn);
            let effects = effects.with_context(|| path.display().to_string())?;
            run.effects.insert(name.to_owned(), effects);
        }
    }
    Ok(())
}

fn parse_effects(text: &str, torn: &mut usize) -> Result<Vec<Effect>> {
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

/// By time; parents keep their places in the new order.
fn sort(run: &mut Run) {
    let mut order: Vec<usize> = (0..run.ops.len()).collect();
    order.sort_by_key(|&place| run.ops[place].invoked);
    let mut new_places = vec![0; order.len()];
    for (new, &old) in order.iter().enumerate() {
        new_places[old] = new;
    }
    for op in &mut run.ops {
        op.parent = op.parent.map(|old| new_places[old]);
    }
    run.ops.sort_by_key(|op| op.invoked);
    run.faults.sort_by_key(|fault| fault.begun);
    let kills = run.faults.iter();
    run.kills = kills
        .filter(|fault| fault.kind == FaultKind::ServerKill)
        .map(|fault| (fault.begun, fault.end()))
        .collect();
}

fn see(run: &mut Run, time: u64) {
    run.from = run.from.min(time);
    run.to = run.to.max(time);
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

fn events<'t>(
    text: &'t str,
    torn: &mut usize,
) -> Result<impl Iterator<Item = Result<(u64, Event<'t>)>> + use<'t>> {
    let mut lines = whole(text, torn).lines();
    match lines.next() {
        Some(history::HEADER) | None => {}
        Some(other) => bail!("the first line is `{other}`, not `{}`", history::HEADER),
    }
    Ok(lines.enumerate().map(|(number, line)| {
        let event = history::parse(line);
        event.with_context(|| format!("line {} is no event: `{line}`", number + 2))
    }))
}
