//! Writing source text, and what has to come of it.

/// What a macro must answer.
#[derive(Debug)]
pub(super) enum Expected {
    /// Items or an error.
    Anything,
    Refused,
    /// Items, in which these token sequences stand.
    Accepted(Vec<String>),
}

/// The text, and what is known of it so far.
#[derive(Default)]
pub(super) struct Writer {
    text: String,
    is_open: bool,
    is_refused: bool,
    contains: Vec<String>,
}

impl Writer {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// What was written is a mistake.
    pub(super) fn refuse_if(&mut self, mistake: bool) {
        self.is_refused |= mistake;
    }

    /// What was written may be one.
    pub(super) fn open_if(&mut self, unknown: bool) {
        self.is_open |= unknown;
    }

    /// If there is no mistake, the expansion has these tokens.
    pub(super) fn expect(&mut self, tokens: String) {
        self.contains.push(tokens);
    }

    pub(super) fn splice(&mut self, at: usize, cut: usize, text: &str) {
        self.is_open = true;
        let boundary = |at: usize| {
            let at = at.min(self.text.len());
            (0..=at).rev().find(|&at| self.text.is_char_boundary(at))
        };
        // The `#` stays, since it makes this a call of a macro.
        let start = boundary(1 + at % self.text.len().max(1)).unwrap_or_default();
        let end = boundary(start + cut).unwrap_or_default().max(start);
        self.text.replace_range(start..end, text);
    }

    pub(super) fn finish(self) -> (String, Expected) {
        let expected = if self.is_open {
            Expected::Anything
        } else if self.is_refused {
            Expected::Refused
        } else {
            Expected::Accepted(self.contains)
        };
        (self.text, expected)
    }
}

/// One of a table, whatever the number.
pub(super) fn pick<T: Copy>(table: &[T], number: u8) -> T {
    table[usize::from(number) % table.len()]
}
