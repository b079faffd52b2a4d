//! One run of a server's program.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::supervisor::Supervisor;

/// Waits for a line before the program starts. Before that line, the supervisor gets the process
/// id, so it can end the program from the first moment. If this process dies first, the program
/// does not start.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// How long a process may take to act on a signal that it cannot ignore.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts the program, as `user` if that is given: the id of a user and of a group.
    pub(crate) fn start(
        program: &Command,
        user: Option<u32>,
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
        if let Some(user) = user {
            gate.uid(user).gid(user);
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
        Ok(kill_process(pid(self.id())?, signal)?)
    }

    /// Freezes the process and its children.
    pub(crate) fn pause(&self) -> io::Result<()> {
        self.freeze()?;
        self.signal_children(&children(self.id())?, Signal::STOP)
    }

    /// Ends [`pause`](Self::pause).
    pub(crate) fn resume(&self) -> io::Result<()> {
        // The children first: the process may look after them.
        self.signal_children(&children(self.id())?, Signal::CONT)?;
        self.signal(Signal::CONT)
    }

    /// Kills the process and its children, and waits until the children have ended.
    pub(crate) fn kill(&self) -> io::Result<()> {
        // A frozen process starts no further children, and the children do not notice its end: a
        // session of PostgreSQL would report that to its client.
        self.freeze()?;
        let children = children(self.id())?;
        self.signal_children(&children, Signal::KILL)?;
        self.signal(Signal::KILL)?;
        wait_until(|| {
            children
                .iter()
                .all(|&child| Stat::of(child).is_none_or(|stat| stat.has_ended()))
        })
    }

    fn freeze(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        wait_until(|| Stat::of(self.id()).is_none_or(|stat| stat.is_stopped() || stat.has_ended()))
    }

    fn signal_children(&self, children: &[u32], signal: Signal) -> io::Result<()> {
        for &child in children {
            match kill_process(pid(child)?, signal) {
                // It has ended.
                Err(Errno::SRCH) => {}
                result => result?,
            }
        }
        Ok(())
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
        // The id of a process that was waited for may belong to another one.
        if let Ok(None) = self.exited() {
            let _ = self.kill();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The children of a process. Each connection to PostgreSQL is one, in a session of its own, so a
/// signal to the process group does not reach it.
fn children(parent: u32) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        if let Some(id) = id
            && Stat::of(id).is_some_and(|stat| stat.parent == parent)
        {
            children.push(id);
        }
    }
    Ok(children)
}

/// What `/proc` says about a process.
struct Stat {
    state: char,
    parent: u32,
}

impl Stat {
    /// `None` if there is no such process.
    fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in brackets may contain anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        Some(Self {
            state: words.next()?.chars().next()?,
            parent: words.next()?.parse().ok()?,
        })
    }

    fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// It may be a zombie, if its parent does not wait for it.
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

fn pid(id: u32) -> io::Result<Pid> {
    let id = i32::try_from(id).map_err(io::Error::other)?;
    Pid::from_raw(id).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn wait_until(condition: impl Fn() -> bool) -> io::Result<()> {
    let since = Instant::now();
    while !condition() {
        if since.elapsed() > SIGNAL_TIMEOUT {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}
