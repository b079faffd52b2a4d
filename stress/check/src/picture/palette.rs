//! Which lock has which colour.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Picture;
use crate::run::Op;

/// Told apart with every kind of eyes, on white.
const COLOURS: [&str; 10] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c510a", "#7b61c9", "#b8a600",
    "#35608d", "#a6cee3",
];
/// There are more locks than colours.
pub(super) const OTHER: &str = "#888888";
pub(super) const WAITING: &str = "#d4d4d4";
pub(super) const STOPPED: &str = "#222222";
pub(super) const STOPPED_OPACITY: f64 = 0.22;
pub(super) const TROUBLE: &str = "#d62728";
pub(super) const OUTAGE_OPACITY: f64 = 0.1;

pub(super) struct Palette {
    colours: BTreeMap<Rc<str>, &'static str>,
    pub(super) has_others: bool,
}

impl Palette {
    /// The locks of the picture that are held the longest have colours, as far as these go.
    pub(super) fn of(picture: &Picture<'_>) -> Self {
        let mut busy: BTreeMap<Rc<str>, u64> = BTreeMap::new();
        for op in picture.ops() {
            let granted = op.granted.unwrap_or(u64::MAX);
            let time = op.last().saturating_sub(granted);
            *busy.entry(Rc::clone(&op.names[0])).or_default() += time;
        }
        let mut names: Vec<_> = busy.into_iter().collect();
        names.sort_by_key(|(name, time)| (Reverse(*time), Rc::clone(name)));
        let has_others = names.len() > COLOURS.len();
        let names = names.into_iter().map(|(name, _)| name);
        Self {
            colours: names.zip(COLOURS).collect(),
            has_others,
        }
    }

    /// That of the first lock, of several.
    pub(super) fn colour(&self, op: &Op) -> &'static str {
        self.colours.get(&op.names[0]).copied().unwrap_or(OTHER)
    }

    /// Each lock with its colour.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let colours = self.colours.iter();
        colours.map(|(name, &colour)| (&**name, colour))
    }
}
