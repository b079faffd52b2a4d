//! A row for each thread, with the operations that it was in.

use std::fmt;

use super::palette::{Palette, STOPPED, STOPPED_OPACITY, TROUBLE, WAITING};
use super::strip::Strip;
use super::{LEFT, MARGIN, Picture, RIGHT, end};
use crate::history::{FaultKind, Outcome, WorkerState};
use crate::run::Op;

const LANE: f64 = 22.0;
/// Between two workers.
const GAP: f64 = 10.0;
const BAR: f64 = 16.0;
const WAIT: f64 = 4.0;

pub(super) struct Lanes {
    lanes: Vec<Lane>,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

struct Lane {
    worker: u32,
    thread: u16,
    /// Its worker's uppermost.
    is_first: bool,
    middle: f64,
}

impl Lanes {
    /// One for each thread that the picture has an operation of.
    pub(super) fn of(picture: &Picture<'_>, top: f64) -> Self {
        let mut threads: Vec<(u32, u16)> = picture.ops().map(|op| (op.worker, op.thread)).collect();
        threads.sort_unstable();
        threads.dedup();
        let mut bottom = top;
        let mut lanes: Vec<Lane> = Vec::new();
        for (worker, thread) in threads {
            let is_first = lanes.last().is_none_or(|last| last.worker != worker);
            if is_first && !lanes.is_empty() {
                bottom += GAP;
            }
            lanes.push(Lane {
                worker,
                thread,
                is_first,
                middle: bottom + LANE / 2.0,
            });
            bottom += LANE;
        }
        Self { lanes, top, bottom }
    }

    pub(super) fn draw(
        &self,
        picture: &Picture<'_>,
        f: &mut fmt::Formatter<'_>,
        palette: &Palette,
    ) -> fmt::Result {
        for lane in &self.lanes {
            lane.name(f)?;
            lane.ops(picture, f, palette)?;
            lane.process(picture, f)?;
        }
        Ok(())
    }
}

impl Lane {
    fn name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (middle, text) = (self.middle, self.middle + 4.0);
        writeln!(
            f,
            r##"<line x1="{LEFT}" x2="{RIGHT}" y1="{middle}" y2="{middle}" stroke="#ececec"/>
<text x="{}" y="{text}" text-anchor="end" fill="#888">thread {}</text>"##,
            LEFT - 8.0,
            self.thread
        )?;
        if self.is_first {
            writeln!(
                f,
                r##"<text x="{MARGIN}" y="{text}" font-weight="bold" fill="#444">worker {}</text>"##,
                self.worker
            )?;
        }
        Ok(())
    }

    fn ops(
        &self,
        picture: &Picture<'_>,
        f: &mut fmt::Formatter<'_>,
        palette: &Palette,
    ) -> fmt::Result {
        let (mut waited, mut held, mut trouble) =
            (Strip::default(), Strip::default(), Strip::default());
        let ops = picture.ops();
        for op in ops.filter(|op| (op.worker, op.thread) == (self.worker, self.thread)) {
            let last = end(picture.run, op);
            let granted = op.granted.unwrap_or(last);
            waited.add(picture.x(op.invoked), picture.x(granted), WAITING);
            if let Some(granted) = op.granted.filter(|&granted| granted < picture.to) {
                let ended = op.ended.unwrap_or(last);
                held.add(picture.x(granted), picture.x(ended), palette.colour(op));
            }
            if is_troubled(op) && last < picture.to {
                let x = picture.x(last);
                trouble.add(x - 1.2, x + 1.2, TROUBLE);
            }
        }
        waited.draw(f, self.middle, WAIT)?;
        held.draw(f, self.middle, BAR)?;
        trouble.draw(f, self.middle, BAR + 4.0)
    }

    /// What became of the process: not there yet, stopped for a while, there no more.
    fn process(&self, picture: &Picture<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let y = self.middle - BAR / 2.0;
        let stops = picture.faults().filter(|fault| {
            fault.kind == FaultKind::WorkerStop && fault.worker() == Some(self.worker)
        });
        for stop in stops {
            let (from, to) = (picture.x(stop.begun), picture.x(stop.end()));
            writeln!(
                f,
                r##"<rect x="{from:.1}" y="{y}" width="{:.1}" height="{BAR}" fill="{STOPPED}" opacity="{STOPPED_OPACITY}"/>"##,
                to - from
            )?;
        }
        let Some(worker) = picture.run.workers.get(&self.worker) else {
            return Ok(());
        };
        if let Some(started) = worker.started.filter(|&time| time > picture.from) {
            absent(f, LEFT, picture.x(started), y)?;
        }
        if let Some((ended, state)) = worker.ended.filter(|&(time, _)| time < picture.to) {
            let x = picture.x(ended);
            absent(f, x, RIGHT, y)?;
            if state == WorkerState::Killed {
                cross(f, x, self.middle)?;
            }
        }
        Ok(())
    }
}

fn is_troubled(op: &Op) -> bool {
    match op.outcome {
        None => false,
        Some((_, word)) => matches!(
            word,
            Outcome::Lost
                | Outcome::Disowned
                | Outcome::Database
                | Outcome::BodyDatabase
                | Outcome::Interrupted
                | Outcome::Deadlock
                | Outcome::Pool
        ),
    }
}

fn absent(f: &mut fmt::Formatter<'_>, from: f64, to: f64, y: f64) -> fmt::Result {
    writeln!(
        f,
        r##"<rect x="{from:.1}" y="{y}" width="{:.1}" height="{BAR}" fill="#fafafa" stroke="#dedede" stroke-dasharray="2 2"/>"##,
        to - from
    )
}

/// A process was killed here.
pub(super) fn cross(f: &mut fmt::Formatter<'_>, x: f64, y: f64) -> fmt::Result {
    writeln!(
        f,
        r##"<path d="M{:.1} {:.1}l8 8m0 -8l-8 8" stroke="{TROUBLE}" stroke-width="2" fill="none"/>"##,
        x - 4.0,
        y - 4.0
    )
}
