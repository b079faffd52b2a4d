//! A process of its own that takes a lock: this very program, with its task in the environment.

use std::env;
use std::io::{BufRead, BufReader, Read, stdin};
use std::process::{Child, ChildStdout, Command, Stdio};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::support::Db;

const URL: &str = "LOCK_IN_PROCESS_URL";
const NAME: &str = "LOCK_IN_PROCESS_NAME";

/// A process that asks for a lock and keeps it until it is told to go.
pub(crate) struct Elsewhere {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Elsewhere {
    /// Asks for the lock of that name; see [`LockName::named`].
    pub(crate) fn ask(db: &Db, name: &str) -> Elsewhere {
        let mut process = Command::new(env::current_exe().unwrap())
            .env(URL, db.url())
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Elsewhere { process, output }
    }

    pub(crate) fn until_held(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
    }

    pub(crate) fn release(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// What such a process does instead of running the cases. `false`: this is none.
pub(crate) fn run_as_one() -> bool {
    let (Ok(url), Ok(name)) = (env::var(URL), env::var(NAME)) else {
        return false;
    };
    let conn = &mut MysqlConnection::establish(&url).unwrap();
    LockName::named(name)
        .lock()
        .hold(conn, |_| {
            println!("held");
            stdin().read_to_end(&mut Vec::new()).unwrap();
            Ok::<_, LockError>(())
        })
        .unwrap();
    true
}
