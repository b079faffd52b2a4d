//! Stores each text once: a long run has millions of calls and a handful of names.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result};

#[derive(Default)]
pub(super) struct Interner {
    words: HashMap<String, Rc<str>>,
    lists: HashMap<String, Rc<[Rc<str>]>>,
}

impl Interner {
    pub(super) fn word(&mut self, word: &str) -> Rc<str> {
        if let Some(known) = self.words.get(word) {
            return Rc::clone(known);
        }
        let new: Rc<str> = word.into();
        self.words.insert(word.to_owned(), Rc::clone(&new));
        new
    }

    /// Names that are joined by `+`.
    pub(super) fn names(&mut self, joined: &str) -> Rc<[Rc<str>]> {
        if let Some(known) = self.lists.get(joined) {
            return Rc::clone(known);
        }
        let new: Rc<[Rc<str>]> = joined.split('+').map(|name| self.word(name)).collect();
        self.lists.insert(joined.to_owned(), Rc::clone(&new));
        new
    }

    /// Counters and their values, joined by `+`.
    pub(super) fn counters(&mut self, joined: &str) -> Result<Vec<(Rc<str>, i64)>> {
        let parts = joined.split('+').filter(|&part| part != "-");
        parts
            .map(|part| {
                let read = part.rsplit_once('=').and_then(|(name, value)| {
                    let value = value.parse().ok()?;
                    Some((self.word(name), value))
                });
                read.with_context(|| format!("`{part}` is not a counter with its value"))
            })
            .collect()
    }
}
