//! [`Recording`]: the results of one benchmark on one server, as they are written to a file.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::write;
use crate::finding::Finding;

#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Recording {
    /// Its name on the command line.
    pub(crate) benchmark: String,
    pub(crate) run: Run,
    pub(crate) findings: Vec<Finding>,
}

/// Where and how the numbers were measured.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
pub(crate) struct Run {
    /// Product and version, such as `MariaDB 10.11.19`.
    pub(crate) server: String,
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) machine: String,
}

/// Reads a file. One that does not exist has no recordings.
pub(super) fn read(path: &Path) -> Result<Vec<Recording>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
}

impl Recording {
    /// Adds it to a file, in place of that of the same benchmark.
    pub(super) fn add_to(&self, path: &Path) -> Result<()> {
        let mut recordings = read(path)?;
        recordings.retain(|old| old.benchmark != self.benchmark);
        recordings.push(self.clone());
        let mut text = serde_json::to_string(&recordings)?;
        // A line for each row.
        for start in ["{\"benchmark\":", "{\"id\":", "{\"name\":"] {
            text = text.replace(start, &format!("\n{start}"));
        }
        write(path, &(text + "\n"))
    }
}
