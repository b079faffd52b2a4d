//! A stretch of a run as an SVG: a lane for each thread, what it held and what it waited for, and the
//! faults.

use std::fmt;

use crate::run::{Fault, Op, Run};

mod axis;
mod flags;
mod lanes;
mod legend;
mod palette;
mod stretch;
mod strip;

use flags::Flags;
use lanes::Lanes;
use palette::Palette;

const WIDTH: f64 = 1_500.0;
/// Where lanes begin, right of their names.
const LEFT: f64 = 160.0;
const MARGIN: f64 = 24.0;
const RIGHT: f64 = WIDTH - MARGIN;
const TITLE: f64 = 58.0;
const TICKS: f64 = 40.0;

/// What is drawn.
pub struct Picture<'r> {
    run: &'r Run,
    from: u64,
    to: u64,
}

impl<'r> Picture<'r> {
    /// How much is drawn unless told otherwise.
    pub const SECONDS: f64 = 1.2;

    /// From `from` seconds after the run's start, or else from where most happens.
    pub fn of(run: &'r Run, from: Option<f64>, seconds: f64) -> Self {
        let length = (seconds.max(0.001) * 1e9) as u64;
        let from = match from {
            Some(from) => run.from + (from.max(0.0) * 1e9) as u64,
            None => stretch::liveliest(run, length),
        };
        Self {
            run,
            from,
            to: from + length,
        }
    }

    fn seconds(&self) -> f64 {
        (self.to - self.from) as f64 / 1e9
    }

    fn x(&self, time: u64) -> f64 {
        let time = time.clamp(self.from, self.to) - self.from;
        LEFT + time as f64 / (self.to - self.from) as f64 * (RIGHT - LEFT)
    }

    fn ops(&self) -> impl Iterator<Item = &'r Op> {
        let (run, from, to) = (self.run, self.from, self.to);
        let ops = run.ops.iter();
        ops.filter(move |op| op.invoked < to && end(run, op) > from)
    }

    /// Those that are felt in the picture.
    fn faults(&self) -> impl Iterator<Item = &'r Fault> {
        let (from, to) = (self.from, self.to);
        let faults = self.run.faults.iter();
        faults.filter(move |fault| fault.struck && fault.begun < to && fault.end() > from)
    }
}

/// When an operation's lane is free again.
fn end(run: &Run, op: &Op) -> u64 {
    let death = || run.death(op.worker).unwrap_or(run.to);
    op.told().unwrap_or_else(death)
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let palette = Palette::of(self);
        let flags = Flags::of(self, TITLE);
        let lanes = Lanes::of(self, flags.bottom);
        let height = lanes.bottom + TICKS + legend::height(&palette);

        writeln!(
            f,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" font-family="Helvetica, Arial, sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>"##
        )?;
        axis::title(self, f)?;
        axis::outages(self, f, lanes.top, lanes.bottom)?;
        axis::ticks(self, f, lanes.top, lanes.bottom)?;
        lanes.draw(self, f, &palette)?;
        flags.draw(f, lanes.bottom)?;
        legend::draw(f, lanes.bottom + TICKS, &palette)?;
        writeln!(f, "</svg>")
    }
}

/// `250 ms`, `1.2 s`.
fn span(seconds: f64) -> String {
    if seconds < 0.9995 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        let text = format!("{seconds:.3}");
        format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
