//! Reads the files of a run.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::interner::Interner;
use super::{Drained, Effect, Fault, Op, Run};
use crate::history::{self, Event, FaultKind, WorkerState};

pub(super) fn run(directory: &Path) -> Result<Run> {
    let mut run = Run {
        from: u64::MAX,
        ..Run::default()
    };
    let mut interner = Interner::default();
    coordinator(&mut run, &text(&directory.join(history::COORDINATOR))?)
        .context(history::COORDINATOR)?;
    ensure_all_known(&run, directory)?;
    let numbers: Vec<_> = run.workers.keys().copied().collect();
    for number in numbers {
        let file = history::worker_file(number);
        let path = directory.join(&file);
        // The worker may have been killed before it created its file.
        if path.exists() {
            worker(&mut run, number, &text(&path)?, &mut interner).context(file)?;
        }
    }
    effects(&mut run, directory)?;
    sort(&mut run);
    Ok(run)
}

/// A file of another run would not be checked.
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
            "{file} belongs to no worker that was started"
        );
    }
    Ok(())
}

fn coordinator(run: &mut Run, text: &str) -> Result<()> {
    for event in events(text, &mut run.incomplete_lines)? {
        let (time, event) = event?;
        extend(run, time);
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
                hit: true,
            }),
            Event::Over { fault, hit } => {
                let Some(fault) = run.faults.iter_mut().rev().find(|f| f.id == fault) else {
                    bail!("fault {fault} is over, but never began");
                };
                fault.over = Some(time);
                fault.hit = hit;
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

fn worker(run: &mut Run, number: u32, text: &str, interner: &mut Interner) -> Result<()> {
    let mut ops = WorkerOps::default();
    for event in events(text, &mut run.incomplete_lines)? {
        let (time, event) = event?;
        extend(run, time);
        let worker = run.workers.entry(number).or_default();
        worker.wrote = worker.wrote.max(Some(time));
        match event {
            Event::Invoke {
                op,
                thread,
                operation,
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
                    operation: interner.word(operation),
                    names: interner.names(names),
                    wait,
                    source: interner.word(source),
                    invoked: time,
                    checked: None,
                    acquired: None,
                    kept: false,
                    session: None,
                    holder: None,
                    faults: Vec::new(),
                    ended: None,
                    wrote: Vec::new(),
                    outcome: None,
                    claim: None,
                });
            }
            Event::Acquired {
                op: id,
                session,
                holder,
            } => {
                let op = &mut run.ops[ops.find(id)?];
                ensure!(op.acquired.is_none(), "the body of call {id} begins twice");
                (op.acquired, op.session, op.holder) = (Some(time), session, holder);
            }
            Event::Checked { op, session } => {
                run.ops[ops.find(op)?].checked = Some((time, session));
            }
            Event::Injected { op, fault } => run.ops[ops.find(op)?].faults.push((time, fault)),
            Event::End { op: id, wrote } => {
                let op = &mut run.ops[ops.find(id)?];
                let begun = op.acquired.is_some() && op.ended.is_none();
                ensure!(begun, "the body of call {id} ends, but had not begun");
                op.ended = Some(time);
                op.wrote = interner.counters(wrote)?;
            }
            Event::Outcome {
                op: id,
                word,
                claim,
            } => {
                let op = &mut run.ops[ops.find(id)?];
                ops.close(id, op.thread)?;
                let inside = op.acquired.is_some() && op.ended.is_none();
                ensure!(
                    !inside,
                    "call {id} has an outcome, but its body has not ended"
                );
                op.outcome = Some((time, word));
                op.claim = claim;
            }
            Event::Kept { op } => run.ops[ops.find(op)?].kept = true,
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

/// The calls of a worker, by their numbers.
#[derive(Default)]
struct WorkerOps {
    /// The index of each call in [`Run::ops`].
    indices: HashMap<u32, usize>,
    /// The calls of each thread that have no outcome yet, the innermost last.
    open: HashMap<u16, Vec<u32>>,
}

impl WorkerOps {
    /// Returns the index of the call that contains this one.
    fn invoke(&mut self, id: u32, thread: u16, index: usize) -> Result<Option<usize>> {
        let twice = self.indices.insert(id, index).is_some();
        ensure!(!twice, "call {id} is invoked twice");
        let open = self.open.entry(thread).or_default();
        let parent = open.last().map(|parent| self.indices[parent]);
        open.push(id);
        Ok(parent)
    }

    fn find(&self, id: u32) -> Result<usize> {
        let index = self.indices.get(&id).copied();
        index.with_context(|| format!("call {id} was never invoked"))
    }

    fn close(&mut self, id: u32, thread: u16) -> Result<()> {
        let innermost = self.open.entry(thread).or_default().pop();
        ensure!(
            innermost == Some(id),
            "call {id} has an outcome, but is not the innermost of its thread"
        );
        Ok(())
    }
}

fn effects(run: &mut Run, directory: &Path) -> Result<()> {
    let names = run.ops.iter().flat_map(|op| op.names.iter());
    let names: BTreeSet<Rc<str>> = names.cloned().collect();
    for name in names {
        let path = history::effects_file(directory, &name);
        if path.exists() {
            let effects = parse_effects(&text(&path)?, &mut run.incomplete_lines);
            let effects = effects.with_context(|| path.display().to_string())?;
            run.effects.insert(name.to_string(), effects);
        }
    }
    Ok(())
}

fn parse_effects(text: &str, incomplete: &mut usize) -> Result<Vec<Effect>> {
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
    complete_lines(text, incomplete)
        .lines()
        .map(|line| effect(line).with_context(|| format!("`{line}` is not an effect")))
        .collect()
}

/// Sorts calls and faults by time, and maps the parents of calls to their new indices.
fn sort(run: &mut Run) {
    let mut order: Vec<usize> = (0..run.ops.len()).collect();
    order.sort_by_key(|&index| run.ops[index].invoked);
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

/// Extends the run to a time.
fn extend(run: &mut Run, time: u64) {
    run.from = run.from.min(time);
    run.to = run.to.max(time);
}

fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The complete lines of a text. A killed process may leave a part of a line after the last
/// newline.
fn complete_lines<'t>(text: &'t str, incomplete: &mut usize) -> &'t str {
    let end = text.rfind('\n').map_or(0, |newline| newline + 1);
    *incomplete += usize::from(end < text.len());
    &text[..end]
}

fn events<'t>(
    text: &'t str,
    incomplete: &mut usize,
) -> Result<impl Iterator<Item = Result<(u64, Event<'t>)>> + use<'t>> {
    let mut lines = complete_lines(text, incomplete).lines();
    match lines.next() {
        Some(history::HEADER) | None => {}
        Some(other) => bail!("the first line is `{other}`, not `{}`", history::HEADER),
    }
    Ok(lines.enumerate().map(|(number, line)| {
        let event = history::parse(line);
        event.with_context(|| format!("line {} is not an event: `{line}`", number + 2))
    }))
}
