//! The process that started a server dies without a word.
//!
//! The dying process is this test program, run again with a word in its environment.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{park, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use test_server::{Kind, Server};

use super::start;

const KIND: &str = "TEST_SERVER_OWNER";
const ROLE: &str = "TEST_SERVER_OWNER_ROLE";

pub(crate) fn is_this_process() -> bool {
    env::var_os(KIND).is_some()
}

/// The owner: starts two servers, tells of them, and waits for its death or returns.
pub(crate) fn run() {
    let kind = env::var(KIND)
        .expect("set by the test")
        .parse()
        .expect("a kind");
    let shared = Server::shared(kind);
    tell(shared);
    // The one that was stopped and started again must not be forgotten.
    let own = start(kind);
    own.restart().unwrap_or_else(|error| panic!("{error}"));
    tell(&own);
    println!("told");
    if env::var(ROLE).as_deref() == Ok("wait") {
        loop {
            park();
        }
    }
}

fn tell(server: &Server) {
    let pid = server.pid().expect("a running server");
    println!("{pid} {}", server.directory().display());
}

pub(crate) fn ends_with_a_killed_owner(kind: Kind) {
    let signals: [fn(Pid) -> rustix::io::Result<()>; 3] = [
        |owner| kill_process(owner, Signal::KILL),
        // Some test runners kill the whole group.
        |owner| kill_process_group(owner, Signal::KILL),
        // Ctrl-C in a terminal.
        |owner| kill_process_group(owner, Signal::INT),
    ];
    for signal in signals {
        let (mut owner, servers) = spawn(kind, "wait");
        for (pid, directory) in &servers {
            assert!(!has_ended(*pid));
            assert!(directory.join("data").exists());
        }
        signal(Pid::from_child(&owner)).expect("to signal the owner");
        assert_gone(&servers);
        owner.wait().expect("the owner's end");
    }
}

pub(crate) fn ends_with_an_owner_that_returns(kind: Kind) {
    let (mut owner, servers) = spawn(kind, "return");
    assert!(owner.wait().expect("the owner's end").success());
    assert_gone(&servers);
}

fn spawn(kind: Kind, role: &str) -> (Child, Vec<(u32, PathBuf)>) {
    // Whatever runs in the background of a shell script ignores Ctrl-C, and hands that on.
    let mut owner = Command::new("env")
        .arg("--default-signal=INT")
        .arg(env::current_exe().expect("this program"))
        .env(KIND, kind.to_string())
        .env(ROLE, role)
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program to run");
    let output = BufReader::new(owner.stdout.take().expect("a pipe"));
    let servers: Vec<_> = output
        .lines()
        .map(|line| line.expect("text"))
        .take_while(|line| line != "told")
        .map(|line| {
            let (pid, directory) = line.split_once(' ').expect("two words");
            (pid.parse().expect("a number"), directory.into())
        })
        .collect();
    assert_eq!(servers.len(), 2, "the owner did not start its servers");
    (owner, servers)
}

/// The supervisor needs a moment after the owner's death.
#[track_caller]
fn assert_gone(servers: &[(u32, PathBuf)]) {
    let since = Instant::now();
    while !servers
        .iter()
        .all(|(pid, directory)| has_ended(*pid) && !directory.exists())
    {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "still there: {servers:?}"
        );
        sleep(Duration::from_millis(20));
    }
}

/// Gone, or dead and waiting for a parent that may never ask.
pub(crate) fn has_ended(pid: u32) -> bool {
    let status = Path::new("/proc").join(pid.to_string()).join("stat");
    fs::read_to_string(status).map_or(true, |stat| {
        // The name in brackets may contain anything.
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.trim_start().starts_with('Z')
    })
}
