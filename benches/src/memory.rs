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
    let server = database.pid().and_then(|pid| {
        let sessions = children(pid).into_iter();
        let sessions = sessions.filter_map(|session| resident(&session));
        Some(resident(&pid.to_string())? + sessions.sum::<u64>())
    });
    Memory {
        process: resident("self"),
        server,
    }
}

/// The processes of PostgreSQL's sessions. MariaDB and MySQL have threads instead.
fn children(process: u32) -> Vec<String> {
    let file = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(file).unwrap_or_default();
    children.split_whitespace().map(str::to_owned).collect()
}

/// Memory that several processes share counts for each of them in part.
fn resident(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}
