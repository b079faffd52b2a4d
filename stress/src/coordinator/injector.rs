//! Injects faults at random.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use rustix::process::Signal;
use stress_check::history::{Event, FaultKind};

use super::Environment;
use super::admin::Admin;
use super::fleet::Fleet;
use super::progress::Progress;
use crate::cli::RunOptions;
use crate::server;

mod injections;

/// How often the injector checks for faults that are over.
const TICK: Duration = Duration::from_millis(5);

/// How often a kind of fault is chosen, compared with the others.
fn weight(kind: FaultKind) -> usize {
    match kind {
        FaultKind::KillHolder => 12,
        FaultKind::KillWaiter
        | FaultKind::InterruptHolder
        | FaultKind::InterruptWaiter
        | FaultKind::CutOne => 8,
        FaultKind::WorkerStop => 6,
        FaultKind::WorkerKill
        | FaultKind::Stall
        | FaultKind::CutBeforeCommit
        | FaultKind::CutAfterCommit => 4,
        FaultKind::Storm | FaultKind::Delay => 3,
        FaultKind::CutAll | FaultKind::ServerPause => 2,
        FaultKind::WaitTimeout | FaultKind::ServerKill => 1,
        FaultKind::ServerStart => 0,
    }
}

pub(super) struct Injector<'a, 's> {
    env: &'s Environment,
    fleet: &'a mut Fleet<'s>,
    admin: &'a mut Admin,
    progress: &'a Progress,
    rng: Rng,
    kinds: Vec<FaultKind>,
    /// The kinds to inject next, last first. At the start it has each kind once, so that a short
    /// run has them all.
    upcoming: Vec<FaultKind>,
    pending: Vec<Pending>,
    /// The number of the last fault.
    last_fault: u32,
    faults: u32,
    last_kind: &'static str,
}

/// A fault that is not over yet.
struct Pending {
    fault: u32,
    kind: FaultKind,
    worker: Option<u32>,
    until: Instant,
}

impl<'a, 's> Injector<'a, 's> {
    pub(super) fn new(
        env: &'s Environment,
        fleet: &'a mut Fleet<'s>,
        admin: &'a mut Admin,
        progress: &'a Progress,
        options: &RunOptions,
        seed: u64,
    ) -> Self {
        let mut rng = Rng::with_seed(seed);
        let kinds = options.faults.kinds.clone();
        let mut upcoming = kinds.clone();
        rng.shuffle(&mut upcoming);
        Self {
            env,
            fleet,
            admin,
            progress,
            rng,
            kinds,
            upcoming,
            pending: Vec::new(),
            last_fault: 0,
            faults: 0,
            last_kind: "none",
        }
    }

    /// Injects faults until a point in time, and then ends those that are pending.
    pub(super) fn run(mut self, until: Instant) -> Result<()> {
        while Instant::now() < until {
            // Sometimes a longer gap, in which all workers can recover.
            let gap = match self.rng.u8(0..16) {
                0 => self.rng.u64(900..1_600),
                _ => self.rng.u64(40..320),
            };
            self.idle(until.min(Instant::now() + Duration::from_millis(gap)))?;
            if Instant::now() < until {
                self.inject()?;
            }
        }
        self.end(|_| true)
    }

    fn idle(&mut self, until: Instant) -> Result<()> {
        loop {
            let now = Instant::now();
            self.end(|pending| pending.until <= now)?;
            self.fleet.replace_failed()?;
            self.progress
                .show(self.fleet.cycles(), self.faults, self.last_kind);
            if now >= until {
                return Ok(());
            }
            std::thread::sleep(TICK.min(until - now));
        }
    }

    fn inject(&mut self) -> Result<()> {
        let Some(kind) = self.next_kind() else {
            return Ok(());
        };
        if self.is_pending(kind) && kind != FaultKind::WorkerStop {
            return Ok(());
        }
        // A paused server would block this thread, which could not resume it then.
        if self.is_pending(FaultKind::ServerPause) && needs_server(kind) {
            return Ok(());
        }
        match kind {
            FaultKind::KillHolder => self.kill_holder(server::end_session, kind),
            FaultKind::InterruptHolder => self.kill_holder(server::interrupt, kind),
            FaultKind::KillWaiter => self.kill_waiter(server::end_session, kind),
            FaultKind::InterruptWaiter => self.kill_waiter(server::interrupt, kind),
            FaultKind::Storm => self.storm(),
            FaultKind::WorkerKill => self.kill_worker(),
            FaultKind::WorkerStop => self.stop_worker(),
            FaultKind::ServerKill => self.kill_server(),
            FaultKind::ServerPause => {
                self.begin_lasting(kind, "-", None, 50..900);
                self.env.server.pause();
                Ok(())
            }
            FaultKind::CutAll => {
                let fault = self.begin(kind, "-");
                let cut = self.env.proxy.cut();
                self.over(fault, cut > 0);
                Ok(())
            }
            FaultKind::CutOne => {
                let nth = self.rng.usize(0..64);
                let fault = self.begin(kind, "-");
                let cut = self.env.proxy.cut_one(nth);
                self.over(fault, cut);
                Ok(())
            }
            FaultKind::CutBeforeCommit => {
                self.cut_at_commit(kind, |proxy| proxy.cut_before("COMMIT"));
                Ok(())
            }
            FaultKind::CutAfterCommit => {
                self.cut_at_commit(kind, |proxy| proxy.cut_after("COMMIT"));
                Ok(())
            }
            FaultKind::Stall => {
                self.begin_lasting(kind, "-", None, 50..1_500);
                self.env.proxy.stall();
                Ok(())
            }
            FaultKind::Delay => {
                let micros = self.rng.u64(200..5_000);
                self.begin_lasting(kind, &format!("us={micros}"), None, 300..1_500);
                self.env.proxy.set_delay(Duration::from_micros(micros));
                Ok(())
            }
            FaultKind::WaitTimeout => self.shorten_wait_timeout(),
            FaultKind::ServerStart => Ok(()),
        }
    }

    fn next_kind(&mut self) -> Option<FaultKind> {
        if self.upcoming.is_empty() {
            let kinds = self.kinds.iter();
            self.upcoming = kinds.flat_map(|&kind| vec![kind; weight(kind)]).collect();
            self.rng.shuffle(&mut self.upcoming);
        }
        self.upcoming.pop()
    }

    /// Records the beginning of a fault, and returns its number.
    fn begin(&mut self, kind: FaultKind, target: &str) -> u32 {
        self.last_fault += 1;
        self.faults += u32::from(kind.is_counted());
        self.last_kind = kind.word();
        self.env.history.write(&Event::Begin {
            fault: self.last_fault,
            kind,
            target,
        });
        self.last_fault
    }

    /// Records the beginning of a fault that the injector ends after a random time.
    fn begin_lasting(
        &mut self,
        kind: FaultKind,
        target: &str,
        worker: Option<u32>,
        millis: Range<u64>,
    ) {
        let until = Instant::now() + Duration::from_millis(self.rng.u64(millis));
        let fault = self.begin(kind, target);
        self.pending.push(Pending {
            fault,
            kind,
            worker,
            until,
        });
    }

    fn over(&self, fault: u32, hit: bool) {
        self.env.history.write(&Event::Over { fault, hit });
    }

    fn is_pending(&self, kind: FaultKind) -> bool {
        self.pending.iter().any(|pending| pending.kind == kind)
    }

    /// Ends the pending faults that `which` selects.
    fn end(&mut self, which: impl Fn(&Pending) -> bool) -> Result<()> {
        let pauses = |pending: &Pending| pending.kind == FaultKind::ServerPause;
        let paused = self
            .pending
            .iter()
            .any(|pending| pauses(pending) && !which(pending));
        let (ending, pending) = self.pending.drain(..).partition(|pending| {
            // A paused server would block this thread, which could not resume it then.
            which(pending) && !(paused && needs_server(pending.kind))
        });
        self.pending = pending;
        let ending: Vec<Pending> = ending;
        let (server, others): (Vec<_>, Vec<_>) = ending.into_iter().partition(pauses);
        for Pending {
            fault,
            kind,
            worker,
            ..
        } in server.into_iter().chain(others)
        {
            match (kind, worker) {
                (FaultKind::ServerPause, _) => self.env.server.resume(),
                (FaultKind::Stall, _) => self.env.proxy.resume(),
                (FaultKind::Delay, _) => self.env.proxy.set_delay(Duration::ZERO),
                (FaultKind::WaitTimeout, _) => self.set_idle_timeout(false)?,
                (_, Some(number)) => self.fleet.signal(number, Signal::CONT)?,
                _ => {}
            }
            self.over(fault, true);
        }
        Ok(())
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        let index = (!among.is_empty()).then(|| self.rng.usize(0..among.len()))?;
        Some(among[index].clone())
    }
}

/// Whether the fault is injected by a statement.
fn needs_server(kind: FaultKind) -> bool {
    kind.ends_statements()
        || matches!(
            kind,
            FaultKind::KillHolder | FaultKind::KillWaiter | FaultKind::WaitTimeout
        )
}
