//! The bars that are shown while the race is on, if standard error is a terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::protocol::{Attempt, Outcome};

/// Removed from the screen on drop.
pub(crate) struct Progress {
    mails: ProgressBar,
    attempts: ProgressBar,
}

impl Progress {
    pub(crate) fn new(notifications: usize, attempts: usize) -> Self {
        let bars = MultiProgress::new();
        let bar = |name, length| {
            let style = ProgressStyle::with_template("{prefix:>8} {bar:40} {pos}/{len}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(length as u64).with_style(style);
            bars.add(bar.with_prefix(name))
        };
        let (mails, attempts) = (bar("mails", notifications), bar("attempts", attempts));
        Self { mails, attempts }
    }

    pub(crate) fn show(&self, attempt: &Attempt) {
        self.attempts.inc(1);
        if attempt.outcome == Outcome::Sent {
            self.mails.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.mails.finish_and_clear();
        self.attempts.finish_and_clear();
    }
}
