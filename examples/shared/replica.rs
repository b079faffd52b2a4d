//! [`Replica`]: a process of an example's program.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running process. Killed on drop.
pub(crate) struct Replica {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Replica {
    /// Starts the program, as for a user.
    pub(crate) fn start(program: &str, url: &str, variables: &[(&str, &str)]) -> Self {
        let mut process = Command::new(program)
            .env("DATABASE_URL", url)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { process, output }
    }

    /// The process's id.
    #[allow(dead_code, reason = "not every example needs it")]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the next line of the output.
    #[allow(dead_code, reason = "not every example needs it")]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Kills the process with SIGKILL, as in a crash: it does not clean up anything.
    #[allow(dead_code, reason = "not every example needs it")]
    pub(crate) fn kill(mut self) {
        assert!(self.is_running(), "the process ended before the kill");
        self.process.kill().expect("a kill");
        self.process.wait().expect("the end of the process");
    }

    #[allow(dead_code, reason = "not every example needs it")]
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Waits until the process ends with success. Returns the rest of its output.
    #[allow(dead_code, reason = "not every example needs it")]
    pub(crate) fn finish(mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("UTF-8");
        let status = self.process.wait().expect("the end of the process");
        assert!(status.success(), "{status}: {rest}");
        rest
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
