//! What those do who cannot wait on a server.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

const INTERVAL: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks until the answer is yes.
pub(super) fn until(mut is_done: impl FnMut() -> Result<bool>) -> Result<()> {
    if is_done()? {
        return Ok(());
    }
    let since = Instant::now();
    loop {
        thread::sleep(INTERVAL);
        if is_done()? {
            return Ok(());
        }
        ensure!(since.elapsed() < TIMEOUT, "asked in vain for a minute");
    }
}
