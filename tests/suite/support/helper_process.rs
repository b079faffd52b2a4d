//! [`HelperProcess`]: another process that acquires a lock.

use std::env;
use std::io::{BufRead, BufReader, Read, Write, stderr, stdin};
use std::process::{Child, ChildStderr, Command, Stdio};

use diesel_advisory_lock::prelude::*;
use server_test::both;

use super::Db;
use crate::api::{Connection, block_on, wait_for};
use crate::server::Conn;

const URL: &str = "HELPER_PROCESS_URL";
const NAME: &str = "HELPER_PROCESS_LOCK";
const HELD: &str = "held";

/// A process that acquires a lock, and holds it until [`release`](Self::release).
pub(crate) struct HelperProcess {
    process: Child,
    output: Option<BufReader<ChildStderr>>,
}

#[both]
impl HelperProcess {
    /// Starts the process, which acquires the lock of that name; see [`LockName::named`].
    pub(crate) fn acquire(db: &Db, name: &str) -> HelperProcess {
        let (_, module) = module_path!().split_once("::").unwrap();
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::main_of_helper_process")])
            .env(URL, db.url())
            .env(NAME, name)
            .stdin(Stdio::piped())
            // The test harness writes to stdout.
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stderr.take().map(BufReader::new);
        HelperProcess { process, output }
    }

    pub(crate) async fn wait_until_held(&mut self) {
        let mut output = self.output.take().unwrap();
        let (line, output) = wait_for(move || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            (line, output)
        })
        .await;
        assert_eq!(line.trim_end(), HELD);
        self.output = Some(output);
    }

    pub(crate) fn release(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// The main function of the process that [`HelperProcess`] starts: this program again, with only
/// this test. In an ordinary run the environment has no lock name, and the test returns at once.
#[test]
fn main_of_helper_process() {
    if let (Ok(url), Ok(name)) = (env::var(URL), env::var(NAME)) {
        hold_until_end_of_input(&url, name);
    }
}

#[both]
fn hold_until_end_of_input(url: &str, name: String) {
    block_on(async || {
        let conn = &mut Conn::establish(url).await.unwrap();
        LockName::named(name)
            .lock()
            .run(conn, async |_, _| {
                // The test harness captures what `eprintln!` writes.
                stderr().write_all(format!("{HELD}\n").as_bytes()).unwrap();
                stdin().read_to_end(&mut Vec::new()).unwrap();
                Ok::<_, LockError>(())
            })
            .await
            .unwrap();
    });
}
