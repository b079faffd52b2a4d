//! Bars in a row. A lane has hundreds of them, so those of one colour are one path.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Narrower than this nothing can be seen.
const HAIR: f64 = 0.4;

#[derive(Default)]
pub(super) struct Strip {
    bars: Vec<Bar>,
}

struct Bar {
    from: f64,
    to: f64,
    colour: &'static str,
}

impl Strip {
    /// Left to right. What would be narrower than a hair is joined with its neighbour.
    pub(super) fn add(&mut self, from: f64, to: f64, colour: &'static str) {
        let to = to.max(from + HAIR);
        if let Some(last) = self.bars.last_mut()
            && last.colour == colour
            && from - last.to < HAIR
        {
            last.to = last.to.max(to);
            return;
        }
        self.bars.push(Bar { from, to, colour });
    }

    /// Around this height.
    pub(super) fn draw(&self, f: &mut fmt::Formatter<'_>, middle: f64, height: f64) -> fmt::Result {
        let mut paths: BTreeMap<&str, String> = BTreeMap::new();
        for Bar { from, to, colour } in &self.bars {
            let path = paths.entry(colour).or_default();
            let width = to - from;
            write!(path, "M{from:.1} {middle}h{width:.1}")?;
        }
        for (colour, path) in paths {
            writeln!(
                f,
                r##"<path stroke="{colour}" stroke-width="{height}" d="{path}"/>"##
            )?;
        }
        Ok(())
    }
}
