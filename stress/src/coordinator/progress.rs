//! A progress bar, shown if standard error is a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The bar, which is removed on drop.
pub(super) struct Progress {
    bar: ProgressBar,
    since: Instant,
}

impl Progress {
    pub(super) fn new(duration: Duration) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} s  {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::new(duration.as_secs()).with_style(style),
            since: Instant::now(),
        }
    }

    pub(super) fn show(&self, cycles: u64, faults: u32, last: &str) {
        self.bar.set_position(self.since.elapsed().as_secs());
        let message = format!("{cycles} cycles, {faults} faults, last fault: {last}");
        self.bar.set_message(message);
    }

    pub(super) fn draining(&self, workers: usize) {
        self.bar
            .set_message(format!("waiting for {workers} workers to stop"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
