//! A stretch of a run as an SVG: a lane for each thread, what it held and what it waited for, and the
//! faults.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::rc::Rc;

use crate::history::{FaultKind, Outcome, WorkerState};
use crate::run::{Fault, Op, Run};

const WIDTH: f64 = 1_500.0;
const LABELS: f64 = 160.0;
const MARGIN: f64 = 24.0;
const TITLE: f64 = 58.0;
/// Room for one row of the faults' names.
const FLAG: f64 = 15.0;
const LANE: f64 = 22.0;
const GAP: f64 = 10.0;
/// Between two workers.
const BAR: f64 = 16.0;

/// Narrower than this nothing can be seen.
const HAIR: f64 = 0.35;

/// Told apart with every kind of eyes, on white.
const COLOURS: [&str; 10] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c510a", "#7b61c9", "#b8a600",
    "#35608d", "#a6cee3",
];
const TROUBLE: &str = "#d62728";

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
            None => liveliest(run, length),
        };
        Self {
            run,
            from,
            to: from + length,
        }
    }

    fn x(&self, time: u64) -> f64 {
        let time = time.clamp(self.from, self.to) - self.from;
        let share = time as f64 / (self.to - self.from) as f64;
        LABELS + share * (WIDTH - LABELS - MARGIN)
    }

    fn sees(&self, from: u64, to: u64) -> bool {
        from < self.to && to > self.from
    }

    fn ops(&self) -> impl Iterator<Item = &'r Op> {
        let (from, to) = (self.from, self.to);
        let ops = self.run.ops.iter();
        ops.filter(move |op| op.invoked < to && end(self.run, op) > from)
    }

    fn faults(&self) -> impl Iterator<Item = &'r Fault> {
        let faults = self.run.faults.iter();
        faults.filter(|fault| {
            let lasts = fault.end().min(self.run.to);
            fault.struck && self.sees(fault.begun, lasts.max(fault.begun + 1))
        })
    }
}

/// When an operation's lane is free again.
fn end(run: &Run, op: &Op) -> u64 {
    match op.outcome {
        Some((time, _)) => time,
        None => run.death(op.worker).unwrap_or(run.to),
    }
}

/// Where kinds of faults and troubled operations are the most.
fn liveliest(run: &Run, length: u64) -> u64 {
    let lead = length / 12;
    let starts = run
        .faults
        .iter()
        .map(|fault| fault.begun.saturating_sub(lead));
    let score = |from: u64| {
        let to = from + length;
        let mut kinds: Vec<FaultKind> = run
            .faults
            .iter()
            .filter(|fault| fault.struck && fault.kind.is_counted())
            .filter(|fault| (from..to).contains(&fault.begun))
            .map(|fault| fault.kind)
            .collect();
        let all = kinds.len();
        kinds.sort();
        kinds.dedup();
        // Long outages are true, and dull.
        let dull: u64 = run
            .faults
            .iter()
            .filter(|fault| fault.kind.is_outage() && fault.kind != FaultKind::Delay)
            .map(|fault| fault.overlap(from, to))
            .sum();
        (kinds.len() * 6 + all) as i64 * 10 - (dull * 120 / length) as i64
    };
    starts
        .max_by_key(|&start| (score(start), std::cmp::Reverse(start)))
        .unwrap_or_else(|| run.from.midpoint(run.to))
}

/// A thread's row, and the operations it is showing.
struct Lane {
    worker: u32,
    thread: u16,
    y: f64,
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut threads: Vec<(u32, u16)> = self.ops().map(|op| (op.worker, op.thread)).collect();
        threads.sort_unstable();
        threads.dedup();

        let (flags, rows) = self.flags();
        let top = TITLE + rows as f64 * FLAG + 8.0;
        let mut y = top;
        let mut lanes = Vec::new();
        for (place, &(worker, thread)) in threads.iter().enumerate() {
            if place > 0 && threads[place - 1].0 != worker {
                y += GAP;
            }
            lanes.push(Lane { worker, thread, y });
            y += LANE;
        }
        let bottom = y;
        let colours = self.colours();
        let height = bottom + 74.0 + colours.len().div_ceil(8) as f64 * 18.0;

        writeln!(
            f,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" font-family="Helvetica, Arial, sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>"##
        )?;
        self.title(f)?;
        self.lanes(f, &lanes)?;
        self.axis(f, top, bottom)?;
        self.outages(f, top, bottom)?;
        self.bars(f, &lanes, &colours)?;
        for flag in &flags {
            flag.draw(f, bottom)?;
        }
        self.legend(f, bottom + 44.0, &colours)?;
        writeln!(f, "</svg>")
    }
}

impl Picture<'_> {
    fn title(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fact = |key: &str| self.run.facts.get(key).map_or("?", String::as_str);
        let start = (self.from - self.run.from) as f64 / 1e9;
        writeln!(
            f,
            r##"<text x="{MARGIN}" y="28" font-size="17" font-weight="bold" fill="#222">{} of a run on {}</text>
<text x="{MARGIN}" y="46" fill="#666">seed {}, from {start:.3} s after the start: what each thread held (coloured), what it waited for (grey), and what was done to it</text>"##,
            span((self.to - self.from) as f64 / 1e9),
            escaped(fact("server")),
            escaped(fact("seed")),
        )
    }

    fn lanes(&self, f: &mut fmt::Formatter<'_>, lanes: &[Lane]) -> fmt::Result {
        let right = WIDTH - MARGIN;
        for (place, lane) in lanes.iter().enumerate() {
            let middle = lane.y + LANE / 2.0;
            writeln!(
                f,
                r##"<line x1="{LABELS}" x2="{right}" y1="{middle}" y2="{middle}" stroke="#ececec"/>
<text x="{:.0}" y="{:.1}" text-anchor="end" fill="#999">thread {}</text>"##,
                LABELS - 8.0,
                middle + 4.0,
                lane.thread
            )?;
            if place == 0 || lanes[place - 1].worker != lane.worker {
                writeln!(
                    f,
                    r##"<text x="{MARGIN}" y="{:.1}" font-weight="bold" fill="#444">worker {}</text>"##,
                    middle + 4.0,
                    lane.worker
                )?;
            }
        }
        // A process that is not there yet, or no more.
        for lane in lanes {
            let Some(worker) = self.run.workers.get(&lane.worker) else {
                continue;
            };
            let y = lane.y + (LANE - BAR) / 2.0;
            if let Some(started) = worker.started.filter(|&time| time > self.from) {
                void(f, LABELS, self.x(started), y)?;
            }
            if let Some((ended, state)) = worker.ended.filter(|&(time, _)| time < self.to) {
                let x = self.x(ended);
                void(f, x, right, y)?;
                if state == WorkerState::Killed {
                    writeln!(
                        f,
                        r##"<text x="{:.1}" y="{:.1}" fill="{TROUBLE}" font-weight="bold">✕</text>"##,
                        x - 4.0,
                        y + BAR - 4.0
                    )?;
                }
            }
        }
        Ok(())
    }

    fn axis(&self, f: &mut fmt::Formatter<'_>, top: f64, bottom: f64) -> fmt::Result {
        let seconds = (self.to - self.from) as f64 / 1e9;
        let step = [
            0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
        ]
        .into_iter()
        .find(|step| seconds / step <= 14.0)
        .unwrap_or(60.0);
        let mut tick = 0.0;
        while tick <= seconds + 1e-9 {
            let x = self.x(self.from + (tick * 1e9) as u64);
            writeln!(
                f,
                r##"<line x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}" stroke="#f2f2f2"/>
<text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#888">{}</text>"##,
                bottom + 15.0,
                span(tick)
            )?;
            tick += step;
        }
        Ok(())
    }

    /// Times in which nobody was answered, or one worker stood still.
    fn outages(&self, f: &mut fmt::Formatter<'_>, top: f64, bottom: f64) -> fmt::Result {
        for fault in self.faults().filter(|fault| fault.kind.is_outage()) {
            let (from, to) = (self.x(fault.begun), self.x(fault.end()));
            writeln!(
                f,
                r##"<rect x="{from:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="{TROUBLE}" opacity="0.07"/>"##,
                to - from,
                bottom - top
            )?;
        }
        Ok(())
    }

    fn bars(
        &self,
        f: &mut fmt::Formatter<'_>,
        lanes: &[Lane],
        colours: &BTreeMap<Rc<str>, &'static str>,
    ) -> fmt::Result {
        for lane in lanes {
            let y = lane.y + (LANE - BAR) / 2.0;
            let (mut waited, mut held, mut trouble) = (Strip::new(), Strip::new(), Strip::new());
            for op in self
                .ops()
                .filter(|op| (op.worker, op.thread) == (lane.worker, lane.thread))
            {
                let last = end(self.run, op);
                let granted = op.granted.unwrap_or(last);
                waited.add(self.x(op.invoked), self.x(granted), "#cfcfcf");
                if let Some(granted) = op.granted {
                    let colour = colours.get(&op.names[0]).copied().unwrap_or("#888");
                    held.add(self.x(granted), self.x(op.ended.unwrap_or(last)), colour);
                }
                let troubled = match op.outcome {
                    None => op.granted.is_some(),
                    Some((_, word)) => matches!(
                        word,
                        Outcome::Lost
                            | Outcome::Disowned
                            | Outcome::Database
                            | Outcome::BodyDatabase
                            | Outcome::Interrupted
                            | Outcome::Deadlock
                    ),
                };
                if troubled {
                    let x = self.x(last);
                    trouble.add(x - 1.2, x + 1.2, TROUBLE);
                }
            }
            waited.draw(f, y + BAR / 2.0 - 2.5, 5.0)?;
            held.draw(f, y, BAR)?;
            trouble.draw(f, y - 2.0, BAR + 4.0)?;
            for fault in self.faults().filter(|fault| {
                fault.kind == FaultKind::WorkerStop && fault.worker() == Some(lane.worker)
            }) {
                let (from, to) = (self.x(fault.begun), self.x(fault.end()));
                writeln!(
                    f,
                    r##"<rect x="{from:.1}" y="{y:.1}" width="{:.1}" height="{BAR}" fill="#222" opacity="0.22"/>"##,
                    to - from
                )?;
            }
        }
        Ok(())
    }

    /// The names of the picture, the busiest first, as far as the colours go.
    fn colours(&self) -> BTreeMap<Rc<str>, &'static str> {
        let mut busy: BTreeMap<Rc<str>, u64> = BTreeMap::new();
        for op in self.ops() {
            let granted = op.granted.unwrap_or(u64::MAX);
            let time = op.last().saturating_sub(granted);
            *busy.entry(Rc::clone(&op.names[0])).or_default() += time;
        }
        let mut names: Vec<_> = busy.into_iter().collect();
        names.sort_by_key(|(name, time)| (std::cmp::Reverse(*time), Rc::clone(name)));
        let names = names.into_iter().map(|(name, _)| name);
        names.zip(COLOURS).collect()
    }

    /// The faults' lines, each with its name in the first row that has room.
    fn flags(&self) -> (Vec<Flag>, usize) {
        let mut rows: Vec<f64> = Vec::new();
        let mut flags = Vec::new();
        for fault in self.faults().filter(|fault| fault.kind.is_counted()) {
            let x = self.x(fault.begun);
            let mut text = fault.kind.to_string();
            for (key, short) in [("session", "session"), ("worker", "worker"), ("name", "")] {
                if let Some(value) = fault.target(key) {
                    let space = if short.is_empty() { "" } else { " " };
                    let _ = write!(text, " {short}{space}{value}");
                }
            }
            let width = text.len() as f64 * 5.6 + 12.0;
            let at_right = x + width > WIDTH - MARGIN;
            let (from, to) = if at_right {
                (x - width, x)
            } else {
                (x, x + width)
            };
            let row = rows.iter().position(|&taken| taken < from);
            let row = row.unwrap_or_else(|| {
                rows.push(0.0);
                rows.len() - 1
            });
            rows[row] = to;
            flags.push(Flag {
                x,
                y: TITLE + row as f64 * FLAG + 10.0,
                text,
                at_right,
            });
        }
        (flags, rows.len().max(1))
    }

    fn legend(
        &self,
        f: &mut fmt::Formatter<'_>,
        top: f64,
        colours: &BTreeMap<Rc<str>, &'static str>,
    ) -> fmt::Result {
        let entry = |f: &mut fmt::Formatter<'_>, place: usize, colour: &str, text: &str, thin| {
            let x = LABELS + (place % 8) as f64 * 165.0;
            let y = top + (place / 8) as f64 * 18.0;
            let (dy, height) = if thin { (4.0, 5.0) } else { (0.0, 12.0) };
            writeln!(
                f,
                r##"<rect x="{x:.1}" y="{:.1}" width="18" height="{height}" fill="{colour}"/><text x="{:.1}" y="{:.1}" fill="#444">{}</text>"##,
                y + dy,
                x + 24.0,
                y + 10.0,
                escaped(text)
            )
        };
        let mut place = 0;
        for (name, colour) in colours {
            entry(f, place, colour, name, false)?;
            place += 1;
        }
        place = place.next_multiple_of(8);
        entry(f, place, "#888", "another lock", false)?;
        entry(f, place + 1, "#cfcfcf", "waiting, or asking", true)?;
        entry(f, place + 2, "#c8c8c8", "stopped process", false)?;
        entry(f, place + 3, TROUBLE, "an error was reported", false)
    }
}

/// A fault's line through all lanes.
struct Flag {
    x: f64,
    y: f64,
    text: String,
    at_right: bool,
}

impl Flag {
    fn draw(&self, f: &mut fmt::Formatter<'_>, bottom: f64) -> fmt::Result {
        let (x, y) = (self.x, self.y);
        let (dx, anchor) = if self.at_right {
            (-4.0, "end")
        } else {
            (4.0, "start")
        };
        writeln!(
            f,
            r##"<line x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{bottom:.1}" stroke="{TROUBLE}" stroke-width="1" stroke-dasharray="5 3"/>
<text x="{:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{TROUBLE}">{}</text>"##,
            y - 9.0,
            x + dx,
            escaped(&self.text)
        )
    }
}

/// Bars of one lane. What would be narrower than a hair is joined with its neighbour.
struct Strip {
    bars: Vec<(f64, f64, String)>,
}

impl Strip {
    fn new() -> Self {
        Self { bars: Vec::new() }
    }

    fn add(&mut self, from: f64, to: f64, colour: &str) {
        let to = to.max(from + HAIR);
        if let Some((_, last, same)) = self.bars.last_mut()
            && same == colour
            && from - *last < HAIR
        {
            *last = last.max(to);
            return;
        }
        self.bars.push((from, to, colour.to_owned()));
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, y: f64, height: f64) -> fmt::Result {
        for (from, to, colour) in &self.bars {
            writeln!(
                f,
                r##"<rect x="{from:.2}" y="{y:.1}" width="{:.2}" height="{height}" fill="{colour}"/>"##,
                to - from
            )?;
        }
        Ok(())
    }
}

/// Where there is no process.
fn void(f: &mut fmt::Formatter<'_>, from: f64, to: f64, y: f64) -> fmt::Result {
    writeln!(
        f,
        r##"<rect x="{from:.1}" y="{y:.1}" width="{:.1}" height="{BAR}" fill="#fafafa" stroke="#e4e4e4" stroke-dasharray="2 2"/>"##,
        to - from
    )
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
