//! A history file that is being written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::{Event, HEADER, now};

/// A file of one process, which its threads share.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// Makes the file, which must not exist.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)?;
        (&file).write_all(format!("{HEADER}\n").as_bytes())?;
        Ok(Self { file })
    }

    /// Writes an event with the time of now, which it returns.
    ///
    /// Ends the process if it cannot: without a history nothing that it does is worth anything.
    pub fn write(&self, event: &Event<'_>) -> u64 {
        let time = now();
        let line = format!("{time} {event}\n");
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            eprintln!("cannot write the history: {error}");
            std::process::exit(3);
        }
        time
    }
}
