//! The events around a violation.

use std::fmt;

use crate::rules::Violation;
use crate::run::{Op, Run};

/// At most so many lines are shown. The lines of the calls in violation are always shown.
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
    /// Whether the line belongs to a call that broke the rule.
    in_violation: bool,
}

impl<'r> Window<'r> {
    pub(super) fn of(run: &'r Run, violation: &'r Violation) -> Self {
        let mut window = Self {
            run,
            violation,
            lines: Vec::new(),
        };
        let ops = violation.ops.iter();
        let names: Vec<_> = ops.flat_map(|&op| run.ops[op].names.iter()).collect();
        for (index, op) in run.ops.iter().enumerate() {
            let has_name = op.names.iter().any(|name| names.contains(&name));
            if has_name && op.invoked <= violation.to && op.last() >= violation.from {
                window.add(op, violation.ops.contains(&index));
            }
        }
        window.add_faults();
        window.lines.sort();
        window
    }

    fn add(&mut self, op: &Op, in_violation: bool) {
        let caller = format!(
            "worker {:<3} thread {:<2} {:>7}",
            op.worker, op.thread, op.id
        );
        let mut line = |time: u64, what: String| {
            self.lines.push(Line {
                time,
                text: format!("{caller} {what}"),
                in_violation,
            });
        };
        let names = op.names.join("+");
        line(
            op.invoked,
            format!(
                "invoke {} {names} ({} ms, {})",
                op.operation, op.wait.0, op.source
            ),
        );
        if let Some(acquired) = op.acquired {
            let session = |id: Option<u64>| id.map_or("-".to_owned(), |id| id.to_string());
            let (session, holder) = (session(op.session), session(op.holder));
            line(
                acquired,
                format!("acquired, session {session}, held by {holder}"),
            );
        }
        for (time, fault) in &op.faults {
            line(*time, format!("injected {fault}"));
        }
        if let Some(ended) = op.ended {
            let wrote = op.wrote.iter();
            let wrote: String = wrote
                .map(|(name, value)| format!(", {name}={value}"))
                .collect();
            line(ended, format!("end{wrote}"));
        }
        if let Some((time, word)) = op.outcome {
            let claim = op.claim.map_or(String::new(), |claim| format!(", {claim}"));
            line(time, format!("outcome {word}{claim}"));
        }
    }

    fn add_faults(&mut self) {
        for fault in &self.run.faults {
            if fault.begun > self.violation.to || fault.end() < self.violation.from {
                continue;
            }
            let what = format!("fault {} {}", fault.kind, fault.target);
            let mut line = |time: u64, text: String| {
                self.lines.push(Line {
                    time,
                    text,
                    in_violation: false,
                });
            };
            line(fault.begun, format!("{what} begins"));
            if let Some(over) = fault.over {
                line(over, format!("{what} is over"));
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
            "The shortest violation, {:.6} s after the start: {}",
            self.since_start(self.violation.from),
            self.violation.what
        )?;
        let in_violation = self.lines.iter().filter(|line| line.in_violation).count();
        let mut room = LINES.saturating_sub(in_violation);
        let mut left_out = 0;
        for line in &self.lines {
            if !line.in_violation && room == 0 {
                left_out += 1;
                continue;
            }
            room -= usize::from(!line.in_violation);
            let mark = if line.in_violation { '>' } else { ' ' };
            let time = self.since_start(line.time);
            writeln!(f, "{mark} {time:>12.6}  {}", line.text)?;
        }
        if left_out > 0 {
            writeln!(f, "  and {left_out} more lines")?;
        }
        Ok(())
    }
}
