//! Polling, for locks whose server cannot block.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

const INTERVAL: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Repeats `is_done` until it returns `true`.
pub(super) fn until(mut is_done: impl FnMut() -> Result<bool>) -> Result<()> {
    if is_done()? {
        return Ok(());
    }
    let start = Instant::now();
    loop {
        thread::sleep(INTERVAL);
        if is_done()? {
            return Ok(());
        }
        ensure!(start.elapsed() < TIMEOUT, "not done after {TIMEOUT:?}");
    }
}
