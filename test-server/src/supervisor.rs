//! Ends the server and removes its directory when the process that owns them dies.
//!
//! A process cannot clean up after a `SIGKILL`, and Linux's parent-death signal follows the thread
//! that started the child, not the process. So a small shell waits on a pipe that only the owner
//! holds. The kernel closes the pipe with the owner.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const SCRIPT: &str = include_str!("supervisor.sh");

pub(crate) struct Supervisor {
    child: Child,
    pipe: Option<Mutex<ChildStdin>>,
}

impl Supervisor {
    /// Starts the shell that removes `directory`.
    pub(crate) fn start(directory: &Path) -> io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(directory)
            .current_dir("/")
            // In a new process group: Ctrl-C in a terminal must not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            // A reader of this process's output waits until all its writers are gone.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = child.stdin.take().map(Mutex::new);
        Ok(Self { child, pipe })
    }

    /// Sets the process group that ends with the owner; `None` if no server runs.
    pub(crate) fn watch(&self, group: Option<u32>) -> io::Result<()> {
        let line = group.map_or_else(|| "\n".to_owned(), |group| format!("{group}\n"));
        match &self.pipe {
            Some(pipe) => pipe
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Closing the pipe is the signal. The directory has been removed when the shell ends.
        self.pipe = None;
        let _ = self.child.wait();
    }
}
