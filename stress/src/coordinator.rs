//! The coordinator: a private server, a proxy in front of it, workers, faults, and in the end a look at
//! what is left.

mod admin;
mod fleet;
mod injector;
mod progress;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use stress_check::history::{COORDINATOR, EFFECTS, Event, Writer};
use stress_check::picture::Picture;
use stress_check::{Run, Report};
use test_server::{Proxy, Server, cache_dir};

use crate::cli::RunOptions;
use crate::model::{self, SCHEMA};
use admin::Admin;
use fleet::Fleet;
use injector::Injector;
use progress::Progress;

/// How long the sessions of processes that are gone may take to end.
const SESSIONS_END: Duration = Duration::from_secs(15);

/// What the coordinator has to work with.
struct Stage {
    history: Writer,
    server: Server,
    proxy: Proxy,
}

/// Runs the stress test and judges it; `false` if a rule was broken.
pub(crate) fn run(options: &RunOptions) -> Result<bool> {
    let directory = directory(options)?;
    let seed = options.seed.unwrap_or_else(|| Rng::new().u64(0..1 << 32));
    let history = Writer::create(&directory.join(COORDINATOR))?;
    let server = Server::start(options.server)?;
    let proxy = Proxy::start(server.address())?;
    let stage = Stage {
        history,
        server,
        proxy,
    };
    stage.tell("seed", &seed.to_string());
    let version = stage.server.handshake(Duration::from_secs(10))?;
    stage.tell("server", &format!("{} {version}", options.server));
    stage.tell("faults", &options.faults.to_string());
    let workers = format!("{} x {} threads", options.processes, options.threads);
    stage.tell("workers", &workers);

    stress(&stage, options, seed, &directory)?;

    let Stage {
        history,
        server,
        proxy,
    } = stage;
    drop(proxy);
    let (server_dir, pid) = (server.directory().to_owned(), server.pid());
    drop(server);
    look_around(&history, &server_dir, pid);
    history.write(&Event::Done);
    judge(&directory)
}

/// An empty directory for the run.
fn directory(options: &RunOptions) -> Result<PathBuf> {
    let directory = options.directory.clone().unwrap_or_else(|| {
        let cache = cache_dir();
        let target = cache.parent().unwrap_or(&cache);
        target.join("stress").join(options.server.to_string())
    });
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    let effects = directory.join(EFFECTS);
    fs::create_dir_all(&effects).with_context(|| effects.display().to_string())?;
    Ok(directory.canonicalize()?)
}

fn stress(stage: &Stage, options: &RunOptions, seed: u64, directory: &Path) -> Result<()> {
    let mut admin = Admin::new(stage.server.url(""));
    admin.run(model::create).context("cannot make the tables")?;

    let mut fleet = Fleet::new(stage, options, seed, directory)?;
    for slot in 0..options.processes {
        fleet.start(slot)?;
    }
    let progress = Progress::new(options.lasts());
    let injector = Injector::new(stage, &mut fleet, &mut admin, &progress, options, seed);
    injector.run(Instant::now() + options.lasts())?;
    fleet.drain(&progress)?;
    drop(progress);
    fleet.look_for_leftovers();
    ask_what_is_left(stage, &mut admin)
}

/// No process is left: neither should sessions and locks be.
fn ask_what_is_left(stage: &Stage, admin: &mut Admin) -> Result<()> {
    let since = Instant::now();
    let mut sessions = admin.run(admin::sessions)?;
    while !sessions.is_empty() && since.elapsed() < SESSIONS_END {
        std::thread::sleep(Duration::from_millis(50));
        sessions = admin.run(admin::sessions)?;
    }
    for session in sessions {
        stage.left("session", &session.id.to_string());
    }
    for (name, session) in admin.run(admin::holders)? {
        stage.left("lock", &format!("{name},session={session}"));
    }
    for (id, value) in admin.run(admin::counters)? {
        stage.history.write(&Event::Final {
            name: &model::counter_name(id),
            value,
        });
    }
    Ok(())
}

fn look_around(history: &Writer, server_dir: &Path, pid: Option<u32>) {
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

fn judge(directory: &Path) -> Result<bool> {
    let report = Report::of(Run::read(directory)?);
    println!("{report}");
    let picture = directory.join("picture.svg");
    let drawn = Picture::of(report.run(), None, Picture::SECONDS).to_string();
    fs::write(&picture, drawn).with_context(|| picture.display().to_string())?;
    println!("The history is in {}, with a picture.", directory.display());
    Ok(report.is_clean())
}

impl Stage {
    fn tell(&self, key: &str, value: &str) {
        self.history.write(&Event::Run { key, value });
    }

    fn left(&self, thing: &str, which: &str) {
        self.history.write(&Event::Left { thing, which });
    }

    fn direct_url(&self) -> String {
        self.server.url(SCHEMA)
    }

    fn proxied_url(&self) -> String {
        self.server.url_through(&self.proxy, SCHEMA)
    }
}
