//! All that happened in the stretch of time that shows a violation.

use std::fmt;

use crate::rules::Violation;
use crate::run::{Op, Run};

/// More lines than these show nothing more.
const LINES: usize = 60;

pub(super) struct Window<'r> {
    run: &'r Run,
    violation: &'r Violation,
    lines: Vec<Line>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    time: u64,
    text: String,
    /// Of an operation that broke the rule.
    guilty: bool,
}

impl<'r> Window<'r> {
    pub(super) fn of(run: &'r Run, violation: &'r Violation) -> Self {
        let mut window = Self {
            run,
            violation,
            lines: Vec::new(),
        };
        // Whoever had to do with these names then, and what was done to them.
        let guilty = violation.ops.iter();
        let names: Vec<_> = guilty.flat_map(|&op| run.ops[op].names.iter()).collect();
        for (place, op) in run.ops.iter().enumerate() {
            let meant = op.names.iter().any(|name| names.contains(&name));
            if meant && op.invoked <= violation.to && op.last() >= violation.from {
                window.add(op, violation.ops.contains(&place));
            }
        }
        window.add_faults();
        window.lines.sort();
        window
    }

    fn add(&mut self, op: &Op, guilty: bool) {
        let who = format!(
            "worker {:<3} thread {:<2} {:>7}",
            op.worker, op.thread, op.id
        );
        let mut say = |time: u64, what: String| {
            self.lines.push(Line {
                time,
                text: format!("{who} {what}"),
                guilty,
            });
        };
        let asked = (&op.way, op.names.join("+"), op.wait.0, &op.source);
        let (way, names, wait, source) = asked;
        say(
            op.invoked,
            format!("invoke {way} {names} ({wait} ms, {source})"),
        );
        if let Some(granted) = op.granted {
            let session = |id: Option<u64>| id.map_or("-".to_owned(), |id| id.to_string());
            let (session, holder) = (session(op.session), session(op.holder));
            say(
                granted,
                format!("granted, session {session}, held by {holder}"),
            );
        }
        for (time, fault) in &op.struck {
            say(*time, format!("struck by {fault}"));
        }
        if let Some(ended) = op.ended {
            let wrote = op.wrote.iter();
            let wrote: String = wrote
                .map(|(name, value)| format!(", {name}={value}"))
                .collect();
            say(ended, format!("end{wrote}"));
        }
        if let Some((time, word)) = op.outcome {
            let claim = op.claim.map_or(String::new(), |claim| format!(", {claim}"));
            say(time, format!("outcome {word}{claim}"));
        }
    }

    fn add_faults(&mut self) {
        for fault in &self.run.faults {
            if fault.begun > self.violation.to || fault.end() < self.violation.from {
                continue;
            }
            let what = format!("fault {} {}", fault.kind, fault.target);
            let mut say = |time: u64, text: String| {
                self.lines.push(Line {
                    time,
                    text,
                    guilty: false,
                });
            };
            say(fault.begun, format!("{what} begins"));
            if let Some(over) = fault.over {
                say(over, format!("{what} is over"));
            }
        }
    }

    fn since_start(&self, time: u64) -> f64 {
        (time as f64 - self.run.from as f64) / 1e9
    }
}

impl fmt::Display for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "The shortest window that shows one, {:.6} s after the start: {}",
            self.since_start(self.violation.from),
            self.violation.what
        )?;
        // The guilty ones' lines are never left out.
        let guilty = self.lines.iter().filter(|line| line.guilty).count();
        let mut room = LINES.saturating_sub(guilty);
        let mut left_out = 0;
        for line in &self.lines {
            if !line.guilty && room == 0 {
                left_out += 1;
                continue;
            }
            room -= usize::from(!line.guilty);
            let mark = if line.guilty { '>' } else { ' ' };
            let time = self.since_start(line.time);
            writeln!(f, "{mark} {time:>12.6}  {}", line.text)?;
        }
        if left_out > 0 {
            writeln!(f, "  .. and {left_out} lines more")?;
        }
        Ok(())
    }
}
