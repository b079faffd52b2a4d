//! The resident memory of this process and of the server. Known on Linux only.

use std::fs;

use crate::database::Database;

/// In bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) process: Option<u64>,
    pub(crate) server: Option<u64>,
}

pub(crate) fn of_both(database: &Database) -> Memory {
    Memory {
        process: resident("self"),
        server: database.pid().and_then(|pid| resident(&pid.to_string())),
    }
}

fn resident(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}
