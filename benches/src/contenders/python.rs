//! The libraries that Python's users have, in a process for each. It is told what to do line by line and ends with its
//! input, and so with this process however that ends.

mod environment;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::load::Run;
use super::{Load, Locker, Outcome, Watch};
use crate::database::{Database, Transport};
pub(crate) use environment::Environment;

/// One of them, running.
pub(crate) struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: String,
}

/// One of them, by one way.
pub(crate) struct Python<'a> {
    pub(crate) program: &'a mut Program,
    pub(crate) transport: Transport,
}

/// Its first line.
#[derive(Deserialize)]
struct Greeting {
    name: String,
}

#[derive(Serialize)]
struct Question {
    transport: &'static str,
    threads: usize,
    names: usize,
    seconds: f64,
    watch: &'static str,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Failed { error: String },
    Done(Run),
}

impl Program {
    /// Runs a module of `benches/python/`.
    pub(crate) fn start(
        environment: &Environment,
        database: &Database,
        module: &str,
    ) -> Result<Self> {
        let mut child = Command::new(&environment.python)
            .arg(environment::SOURCES.to_owned() + "/worker.py")
            .args([
                module,
                &database.port().to_string(),
                &database.delayed_port().to_string(),
                database.socket()?,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.context("no pipes")?;
        let mut program = Self {
            child,
            input,
            output: BufReader::new(output),
            name: String::new(),
        };
        let Greeting { name } = serde_json::from_str(&program.line()?)?;
        program.name = name;
        Ok(program)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.output.read_line(&mut line)?;
        (length > 0)
            .then_some(line)
            .context("the Python program has ended")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be in the middle of a run, and has nothing to clean up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Locker for Python<'_> {
    fn name(&self) -> String {
        self.program.name.clone()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let question = Question {
            transport: match self.transport {
                Transport::Tcp => "tcp",
                Transport::Delayed => "delayed",
                Transport::Socket => "socket",
            },
            threads: load.threads,
            names: load.names,
            seconds: load.time.as_secs_f64(),
            watch: match load.watch {
                Watch::Nothing => "nothing",
                Watch::Waits => "waits",
                Watch::Exclusion => "exclusion",
            },
        };
        writeln!(self.program.input, "{}", serde_json::to_string(&question)?)?;
        match serde_json::from_str(&self.program.line()?)? {
            Answer::Failed { error } => Err(anyhow!(error)),
            Answer::Done(run) => Ok(Outcome {
                run,
                connections: load.threads,
            }),
        }
    }
}
