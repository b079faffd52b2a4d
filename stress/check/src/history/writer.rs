//! Writes a history file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::{Event, HEADER, now};

/// The history file of one process, which its threads share.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// Creates the file with its first line.
    ///
    /// # Errors
    ///
    /// If the file exists, or cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)?;
        (&file).write_all(format!("{HEADER}\n").as_bytes())?;
        Ok(Self { file })
    }

    /// Writes an event with the present time.
    ///
    /// Exits the process if the write fails: a history with a gap cannot be checked.
    pub fn write(&self, event: &Event<'_>) {
        let line = format!("{} {event}\n", now());
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            eprintln!("cannot write the history: {error}");
            std::process::exit(3);
        }
    }
}
