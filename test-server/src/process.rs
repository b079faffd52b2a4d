//! One run of a server's program.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::supervisor::Supervisor;

/// Waits for a line before the program starts. Before that line, the supervisor gets the process
/// id, so it can end the program from the first moment. If this process dies first, the program
/// does not start.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(
        program: &Command,
        log: &File,
        supervisor: &Supervisor,
    ) -> io::Result<Self> {
        let mut gate = Command::new("sh");
        gate.args(["-c", GATE, "sh"])
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                gate.env(name, value);
            }
        }
        let mut process = Self {
            child: gate
                .current_dir("/")
                // The process id is then the group's id as well, and Ctrl-C does not reach it.
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(log.try_clone()?)
                .stderr(log.try_clone()?)
                .spawn()?,
        };
        supervisor.watch(Some(process.id()))?;
        if let Some(mut gate) = process.child.stdin.take() {
            gate.write_all(b"go\n")?;
        }
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends a signal. The id cannot belong to another process, because only `self` reaps it.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.id()).map_err(io::Error::other)?;
        let id = Pid::from_raw(id).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(id, signal)?)
    }

    /// Waits until the process has ended, for at most `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if since.elapsed() > limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
