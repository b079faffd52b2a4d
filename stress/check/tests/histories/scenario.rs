//! A made-up run, with a line for each call, fault or event and times in milliseconds:
//!
//! ```text
//! #1 w1.2 transaction a: 0 invoke; 10 acquired 5; 20 end a=1; 30 ok
//! #2 w2.1 hold a+b wait 250 on lock-pool: 5 invoke; 255 timeout
//! fault kill-holder session=5: 12..14
//! run: 40 final a 1
//! w1: 50 drained pooled 5 -
//! file a: begin #1; end #1
//! ```
//!
//! A call has a number, a worker and a thread, an operation, and the names of its locks. By default
//! it waits for a second, on the source `plain`.
//!
//! - `10 acquired 5/7` is on session 5, while the server reports session 7 as the holder;
//! - `5 checked 5` is the session that answered before the library used the connection;
//! - `15 injected theft` is a fault that the worker causes;
//! - `30 lost rolled-back` is an outcome with the claim of its error.
//!
//! A fault with one time is over at once. `missed` comes after the times. `run` and `w1` add lines
//! of the coordinator and of a worker as they stand. Every worker starts at 0. It exits at the next
//! whole second after the last event, unless a line says how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use stress_check::history::{self, COORDINATOR, EFFECTS, HEADER};
use stress_check::rules::Rule;
use stress_check::{Report, Run};
use tempfile::TempDir;

/// The clock does not start at 0.
const BOOT: u64 = 7_000_000_000_000;

/// Asserts that the checker finds no violation.
#[track_caller]
pub(crate) fn accepted(scenario: &str) {
    let report = check(scenario);
    assert!(report.is_clean(), "{report}\n\nin{scenario}");
}

/// Asserts that only this rule is broken, with this message.
#[track_caller]
pub(crate) fn rejected(rule: Rule, message: &str, scenario: &str) {
    let report = check(scenario);
    let broken: Vec<_> = report.by_rule().into_keys().collect();
    assert_eq!(broken, [rule], "{report}\n\nin{scenario}");
    let mut violations = report.violations().iter();
    assert!(
        violations.any(|violation| violation.what.contains(message)),
        "not `{message}`: {report}\n\nin{scenario}"
    );
}

/// The scenario with one passage replaced, which must occur once.
#[track_caller]
pub(crate) fn edit(scenario: &str, from: &str, to: &str) -> String {
    let times = scenario.matches(from).count();
    assert_eq!(times, 1, "`{from}` occurs {times} times in{scenario}");
    scenario.replace(from, to)
}

/// The scenario with more lines.
pub(crate) fn add(scenario: &str, lines: &str) -> String {
    format!("{scenario}\n{lines}\n")
}

#[track_caller]
pub(crate) fn check(scenario: &str) -> Report {
    let directory = write(scenario);
    match Run::read(directory.path()) {
        Ok(run) => Report::of(run),
        Err(error) => panic!("{error:#}\n\nin{scenario}"),
    }
}

/// Writes the directory of a run.
#[track_caller]
pub(crate) fn write(scenario: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = Files::default();
    for line in scenario.lines().map(str::trim) {
        if !line.is_empty() && files.add(line).is_none() {
            panic!("`{line}` cannot be read, in{scenario}");
        }
    }
    files.finish();
    files.write(directory.path());
    directory
}

pub(crate) fn coordinator(directory: &TempDir) -> PathBuf {
    directory.path().join(COORDINATOR)
}

pub(crate) fn worker(directory: &TempDir, number: u32) -> PathBuf {
    directory.path().join(history::worker_file(number))
}

/// Lines of a process, each with its time.
type Lines = Vec<(u64, String)>;

#[derive(Default)]
struct Files {
    coordinator: Lines,
    workers: BTreeMap<u32, Lines>,
    /// The worker of each call.
    ops: BTreeMap<u32, u32>,
    effects: BTreeMap<String, String>,
    faults: u32,
}

impl Files {
    fn add(&mut self, line: &str) -> Option<()> {
        let (head, tail) = line.split_once(": ")?;
        let mut words = head.split(' ');
        let parts = tail.split("; ");
        match words.next()? {
            "fault" => self.fault(words.next()?, words.next().unwrap_or("-"), tail),
            "run" => {
                for part in parts {
                    self.coordinator.push(timed(part)?);
                }
                Some(())
            }
            "file" => self.effect(words.next()?, parts),
            first => match first.strip_prefix('#') {
                Some(id) => self.op(id.parse().ok()?, words, parts),
                None => {
                    let worker = first.strip_prefix('w')?.parse().ok()?;
                    let lines = self.workers.entry(worker).or_default();
                    for part in parts {
                        lines.push(timed(part)?);
                    }
                    Some(())
                }
            },
        }
    }

    fn op<'l>(
        &mut self,
        id: u32,
        mut head: impl Iterator<Item = &'l str>,
        parts: impl Iterator<Item = &'l str>,
    ) -> Option<()> {
        let (worker, thread) = head.next()?.strip_prefix('w')?.split_once('.')?;
        let worker = worker.parse().ok()?;
        let (operation, names) = (head.next()?, head.next()?);
        let (mut wait, mut source) = ("1000", "plain");
        while let Some(option) = head.next() {
            match option {
                "wait" => wait = head.next()?,
                "on" => source = head.next()?,
                _ => return None,
            }
        }
        self.ops.insert(id, worker);
        let lines = self.workers.entry(worker).or_default();
        for part in parts {
            let (time, event) = timed(part)?;
            let mut words = event.split(' ');
            let event = match (words.next()?, words.next()) {
                ("invoke", None) => {
                    format!("invoke {id} {thread} {operation} {names} {wait} {source}")
                }
                ("acquired", Some(session)) => {
                    let (session, holder) = session.split_once('/').unwrap_or((session, session));
                    format!("acquired {id} {session} {holder}")
                }
                ("kept", None) => format!("kept {id}"),
                ("injected", Some(fault)) => format!("injected {id} {fault}"),
                ("checked", Some(session)) => format!("checked {id} {session}"),
                ("end", wrote) => format!("end {id} {}", wrote.unwrap_or("-")),
                (word, claim) => format!("outcome {id} {word} {}", claim.unwrap_or("-")),
            };
            lines.push((time, event));
        }
        Some(())
    }

    fn fault(&mut self, kind: &str, target: &str, times: &str) -> Option<()> {
        let (times, word) = match times.strip_suffix(" missed") {
            Some(times) => (times, "missed"),
            None => (times, "done"),
        };
        let (begun, over) = times.split_once("..").unwrap_or((times, times));
        self.faults += 1;
        let id = self.faults;
        self.coordinator
            .push((nanos(begun)?, format!("begin {id} {kind} {target}")));
        if over != "never" {
            self.coordinator
                .push((nanos(over)?, format!("over {id} {word}")));
        }
        Some(())
    }

    fn effect<'l>(&mut self, name: &str, parts: impl Iterator<Item = &'l str>) -> Option<()> {
        let file = self.effects.entry(name.to_owned()).or_default();
        for part in parts {
            let (word, id) = part.split_once(" #")?;
            let worker = self.ops.get(&id.parse().ok()?)?;
            file.push_str(&format!("{word} {worker} {id}\n"));
        }
        Some(())
    }

    /// Adds the starts and ends that no line gives.
    fn finish(&mut self) {
        let has = |lines: &Lines, word: &str| lines.iter().any(|(_, line)| line.starts_with(word));
        let all = self.workers.values().flatten().chain(&self.coordinator);
        let last = all.map(|&(time, _)| time).max().unwrap_or(BOOT);
        let end = last.next_multiple_of(1_000_000_000);
        let numbers: BTreeSet<u32> = self.workers.keys().copied().collect();
        for number in numbers {
            let ends = ["killed", "failed", "hung", "exited", "lives"];
            let ends = ends.map(|state| format!("worker {number} {state}"));
            if !ends.iter().any(|end| has(&self.coordinator, end)) {
                let lines = self.workers.entry(number).or_default();
                lines.push((end, "finished".to_owned()));
                self.coordinator
                    .push((end, format!("worker {number} exited")));
            }
            self.coordinator
                .push((BOOT, format!("worker {number} started")));
        }
        if !has(&self.coordinator, "aborted") {
            self.coordinator.push((end, "done".to_owned()));
        }
        // `lives` and `aborted` are words of scenarios, not of histories.
        self.coordinator
            .retain(|(_, line)| !line.ends_with("lives") && line != "aborted");
    }

    fn write(mut self, directory: &Path) {
        fs::create_dir(directory.join(EFFECTS)).expect("a directory");
        let file = |path: &Path, lines: &mut Lines| {
            lines.sort_by_key(|&(time, _)| time);
            let lines = lines.iter().map(|(time, line)| format!("{time} {line}\n"));
            let text = format!("{HEADER}\n{}", lines.collect::<String>());
            fs::write(path, text).expect("a file");
        };
        file(&directory.join(COORDINATOR), &mut self.coordinator);
        for (&number, lines) in &mut self.workers {
            file(&directory.join(history::worker_file(number)), lines);
        }
        for (name, text) in self.effects {
            fs::write(history::effects_file(directory, &name), text).expect("a file");
        }
    }
}

fn timed(part: &str) -> Option<(u64, String)> {
    let (time, event) = part.split_once(' ')?;
    Some((nanos(time)?, event.to_owned()))
}

fn nanos(millis: &str) -> Option<u64> {
    let millis: f64 = millis.parse().ok()?;
    BOOT.checked_add_signed((millis * 1e6).round() as i64)
}
