//! The coordinator: starts a private server, a proxy in front of it and the workers, injects
//! faults, and at the end records what remained.

mod admin;
mod fleet;
mod injector;
mod progress;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use stress_check::history::{COORDINATOR, EFFECTS, Event, Writer};
use stress_check::{Report, Run, trace};
use test_server::{Proxy, Server, cache_dir};

use crate::cli::RunOptions;
use crate::model::{self, DATABASE};
use crate::server;
use admin::Admin;
use fleet::Fleet;
use injector::Injector;
use progress::Progress;

/// How long the sessions of workers that have ended may take to end.
const SESSIONS_END: Duration = Duration::from_secs(15);

/// The history, the server and the proxy of a run.
struct Environment {
    history: Writer,
    server: Server,
    proxy: Proxy,
}

/// Runs the stress test and checks its history. Returns `false` if a rule was broken.
pub(crate) fn run(options: &RunOptions) -> Result<bool> {
    ensure!(
        server::is_supported(options.server),
        "this program does not run on {}: the program for PostgreSQL is `stress-postgres`",
        options.server
    );
    ensure!(
        cfg!(feature = "async") || !options.is_async,
        "this program was built without the feature `async`"
    );
    let directory = directory(options)?;
    let seed = options.seed.unwrap_or_else(|| Rng::new().u64(0..1 << 32));
    let history = Writer::create(&directory.join(COORDINATOR))?;
    let server = Server::start(options.server)?;
    let proxy = Proxy::start(server.address())?;
    let env = Environment {
        history,
        server,
        proxy,
    };
    env.record_fact("seed", &seed.to_string());
    let version = env.server.handshake(Duration::from_secs(10))?;
    env.record_fact("server", &format!("{} {version}", options.server));
    env.record_fact("faults", &options.faults.to_string());
    let threads = if options.is_async { "tasks" } else { "threads" };
    let workers = format!("{} x {} {threads}", options.processes, options.threads);
    env.record_fact("workers", &workers);

    stress(&env, options, seed, &directory)?;

    let (server_dir, pid) = (env.server.directory().to_owned(), env.server.pid());
    let Environment {
        history,
        server,
        proxy,
    } = env;
    drop(proxy);
    drop(server);
    record_server_leftovers(&history, &server_dir, pid);
    history.write(&Event::Done);
    check(&directory)
}

/// Creates an empty directory for the run.
fn directory(options: &RunOptions) -> Result<PathBuf> {
    let directory = options.directory.clone().unwrap_or_else(|| {
        let cache = cache_dir();
        let target = cache.parent().unwrap_or(&cache);
        let suffix = if options.is_async { "-async" } else { "" };
        let server = format!("{}{suffix}", options.server);
        target.join("stress").join(server)
    });
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    let effects = directory.join(EFFECTS);
    fs::create_dir_all(&effects).with_context(|| effects.display().to_string())?;
    Ok(directory.canonicalize()?)
}

fn stress(env: &Environment, options: &RunOptions, seed: u64, directory: &Path) -> Result<()> {
    server::create(&env.server.url("")).context("cannot create the tables")?;
    let mut admin = Admin::new(env.direct_url());

    let mut fleet = Fleet::new(env, options, seed, directory)?;
    for slot in 0..options.processes {
        fleet.start(slot)?;
    }
    let progress = Progress::new(options.duration());
    let injector = Injector::new(env, &mut fleet, &mut admin, &progress, options, seed);
    injector.run(Instant::now() + options.duration())?;
    fleet.drain(&progress)?;
    drop(progress);
    fleet.record_leftovers();
    record_final_state(env, &mut admin)
}

/// Records the sessions and locks that remain without their processes, and the counters.
fn record_final_state(env: &Environment, admin: &mut Admin) -> Result<()> {
    let since = Instant::now();
    let mut sessions = admin.run(server::sessions)?;
    while !sessions.is_empty() && since.elapsed() < SESSIONS_END {
        std::thread::sleep(Duration::from_millis(50));
        sessions = admin.run(server::sessions)?;
    }
    for session in sessions {
        env.record_left("session", &session.id.to_string());
    }
    for (name, session) in admin.run(server::holders)? {
        env.record_left("lock", &format!("{name},session={session}"));
    }
    for (id, value) in admin.run(admin::counters)? {
        env.history.write(&Event::Final {
            name: &model::counter_name(id),
            value,
        });
    }
    Ok(())
}

fn record_server_leftovers(history: &Writer, server_dir: &Path, pid: Option<u32>) {
    if server_dir.exists() {
        history.write(&Event::Left {
            thing: "directory",
            which: &server_dir.display().to_string().replace(' ', "_"),
        });
    }
    if let Some(pid) = pid.filter(|&pid| fleet::is_running(pid, &server_dir.display().to_string()))
    {
        history.write(&Event::Left {
            thing: "process",
            which: &pid.to_string(),
        });
    }
}

/// Prints the checker's report. If a rule was broken, writes a trace beside the history.
fn check(directory: &Path) -> Result<bool> {
    let report = Report::of(Run::read(directory)?);
    println!("{report}");
    println!("The history is in {}.", directory.display());
    if !report.is_clean() {
        let file = directory.join("trace.json");
        trace::write(&report, &file)?;
        println!("The trace is {}.", file.display());
    }
    Ok(report.is_clean())
}

impl Environment {
    fn record_fact(&self, key: &str, value: &str) {
        self.history.write(&Event::Run { key, value });
    }

    fn record_left(&self, thing: &str, which: &str) {
        self.history.write(&Event::Left { thing, which });
    }

    fn direct_url(&self) -> String {
        self.server.url(DATABASE)
    }

    fn proxied_url(&self) -> String {
        self.server.url_through(&self.proxy, DATABASE)
    }
}
