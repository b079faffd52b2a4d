//! The faults' names above the lanes, each with a line through all of them where it began, and one along
//! the time that it lasted.

use std::fmt;

use super::palette::TROUBLE;
use super::{Picture, RIGHT, escaped};
use crate::run::Fault;

const ROW: f64 = 17.0;
/// Below the last row.
const GAP: f64 = 8.0;
/// Of a character, on average, in pixels.
const CHARACTER: f64 = 5.6;

pub(super) struct Flags {
    flags: Vec<Flag>,
    pub(super) bottom: f64,
}

struct Flag {
    text: String,
    x: f64,
    /// Of what lasted.
    over: f64,
    /// It began before the picture.
    is_old: bool,
    /// Left of its line: there is no more room on the right.
    is_left: bool,
    y: f64,
}

impl Flags {
    /// Each in the first row that has room.
    pub(super) fn of(picture: &Picture<'_>, top: f64) -> Self {
        let mut rows: Vec<f64> = Vec::new();
        let mut flags = Vec::new();
        let faults = picture.faults().filter(|fault| fault.kind.is_counted());
        for fault in faults {
            let (x, over) = (picture.x(fault.begun), picture.x(fault.end()));
            let text = words(fault);
            let width = text.chars().count() as f64 * CHARACTER + 10.0;
            let is_left = x + width > RIGHT;
            let from = if is_left { x - width } else { x };
            let to = if is_left { x } else { x + width };
            let row = rows.iter().position(|&taken| taken < from);
            let row = row.unwrap_or_else(|| {
                rows.push(0.0);
                rows.len() - 1
            });
            rows[row] = to.max(over);
            flags.push(Flag {
                text,
                x,
                over,
                is_old: fault.begun < picture.from,
                is_left,
                y: top + row as f64 * ROW + 10.0,
            });
        }
        let bottom = top + rows.len().max(1) as f64 * ROW + GAP;
        Self { flags, bottom }
    }

    pub(super) fn draw(&self, f: &mut fmt::Formatter<'_>, bottom: f64) -> fmt::Result {
        for flag in &self.flags {
            flag.lines(f, bottom)?;
        }
        // Words are never struck through.
        for flag in &self.flags {
            flag.words(f)?;
        }
        Ok(())
    }
}

impl Flag {
    fn lines(&self, f: &mut fmt::Formatter<'_>, bottom: f64) -> fmt::Result {
        let Flag { x, y, over, .. } = self;
        if !self.is_old {
            writeln!(
                f,
                r##"<line x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{bottom:.1}" stroke="{TROUBLE}" stroke-dasharray="5 3"/>"##,
                y - 9.0
            )?;
        }
        if over - x > 2.0 {
            let y = y + 3.5;
            writeln!(
                f,
                r##"<line x1="{x:.1}" x2="{over:.1}" y1="{y:.1}" y2="{y:.1}" stroke="{TROUBLE}" stroke-width="2"/>"##
            )?;
        }
        Ok(())
    }

    fn words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (x, anchor) = if self.is_left {
            (self.x - 4.0, "end")
        } else {
            (self.x + 4.0, "start")
        };
        writeln!(
            f,
            r##"<text x="{x:.1}" y="{:.1}" text-anchor="{anchor}" fill="{TROUBLE}" stroke="#fff" stroke-width="3" stroke-linejoin="round" paint-order="stroke">{}</text>"##,
            self.y,
            escaped(&self.text)
        )
    }
}

/// `kill-holder session 77 counters:2`.
fn words(fault: &Fault) -> String {
    let mut text = fault.kind.to_string();
    for key in ["session", "worker"] {
        if let Some(value) = fault.target(key) {
            text += &format!(" {key} {value}");
        }
    }
    if let Some(name) = fault.target("name") {
        text += &format!(" {name}");
    }
    text
}
