//! Servers whose owner, the process that started them, is killed.
//!
//! The owner is this test program, which runs only [`main_of_owner`].

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write, stderr};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{park, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use server_test::server_test;
use test_server::{Server, ServerKind};

use super::query::{BUSY, Session};
use super::start;

const KIND: &str = "TEST_SERVER_OWNER";
const ROLE: &str = "TEST_SERVER_OWNER_ROLE";
const END_OF_REPORT: &str = "end";

/// The owner's work: starts two servers, reports them, and waits to be killed or returns. Without a
/// kind in the environment it returns at once.
#[test]
fn main_of_owner() {
    let Ok(kind) = env::var(KIND) else {
        return;
    };
    let kind: ServerKind = kind.parse().expect("a kind");
    let shared = Server::shared(kind);
    report(shared);
    // The supervisor must end a restarted server as well.
    let own = start(kind);
    own.restart().unwrap_or_else(|error| panic!("{error}"));
    report(&own);
    // A busy session does not notice the end of its server.
    let _session = kind.is_postgres().then(|| {
        let stream = TcpStream::connect(own.address()).expect("to connect");
        let mut session = Session::begin(stream);
        let pid = session.query("SELECT pg_backend_pid()");
        session.send(BUSY);
        writeln!(stderr(), "{pid} {}", own.directory().display()).expect("a pipe");
        session
    });
    writeln!(stderr(), "{END_OF_REPORT}").expect("a pipe");
    if env::var(ROLE).as_deref() == Ok("wait") {
        loop {
            park();
        }
    }
}

/// Writes to standard error: the test harness captures only the print macros.
fn report(server: &Server) {
    let pid = server.pid().expect("a running server");
    let directory = server.directory().display();
    writeln!(stderr(), "{pid} {directory}").expect("a pipe");
}

#[server_test(own_server)]
fn server_ends_with_a_killed_owner(kind: ServerKind) {
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

#[server_test(own_server)]
fn server_ends_with_an_owner_that_returns(kind: ServerKind) {
    let (mut owner, servers) = spawn(kind, "return");
    assert!(owner.wait().expect("the owner's end").success());
    assert_gone(&servers);
}

fn spawn(kind: ServerKind, role: &str) -> (Child, Vec<(u32, PathBuf)>) {
    // Background processes of a shell script ignore Ctrl-C, and so do their children.
    let mut owner = Command::new("env")
        .arg("--default-signal=INT")
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", "owner::main_of_owner"])
        .env(KIND, kind.to_string())
        .env(ROLE, role)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program to run");
    let output = BufReader::new(owner.stderr.take().expect("a pipe"));
    let servers: Vec<_> = output
        .lines()
        .map(|line| line.expect("text"))
        .take_while(|line| line != END_OF_REPORT)
        .map(|line| {
            let (pid, directory) = line.split_once(' ').expect("two words");
            (pid.parse().expect("a number"), directory.into())
        })
        .collect();
    let expected = if kind.is_postgres() { 3 } else { 2 };
    assert_eq!(
        servers.len(),
        expected,
        "the owner did not start its servers"
    );
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

/// Whether a process has ended. It may still be a zombie, if its parent does not wait for it.
pub(crate) fn has_ended(pid: u32) -> bool {
    let status = Path::new("/proc").join(pid.to_string()).join("stat");
    fs::read_to_string(status).map_or(true, |stat| {
        // The name in brackets may contain anything.
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.trim_start().starts_with('Z')
    })
}
