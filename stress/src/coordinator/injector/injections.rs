//! The faults that take more than one call of the proxy or the server.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;
use stress_check::history::FaultKind;
use test_server::Proxy;

use super::Injector;
use crate::server::{self, Conn};

/// What is done to a session. Returns `false` if the session has ended before.
type Kill = fn(&mut Conn, i64) -> bool;

/// How long the injector waits for a COMMIT.
const COMMIT_TIMEOUT: Duration = Duration::from_millis(300);

impl Injector<'_, '_> {
    pub(super) fn kill_holder(&mut self, kill: Kill, kind: FaultKind) -> Result<()> {
        let holders = self.admin.run(server::holders)?;
        let Some((name, session)) = self.pick(&holders) else {
            return Ok(());
        };
        self.kill(
            kill,
            kind,
            session,
            &format!("session={session},name={name}"),
        )
    }

    pub(super) fn kill_waiter(&mut self, kill: Kill, kind: FaultKind) -> Result<()> {
        let sessions = self.admin.run(server::sessions)?;
        let waiters: Vec<_> = sessions
            .iter()
            .filter(|session| session.waits_for_a_lock())
            .map(|session| session.id)
            .collect();
        let Some(session) = self.pick(&waiters) else {
            return Ok(());
        };
        self.kill(kill, kind, session, &format!("session={session}"))
    }

    fn kill(&mut self, kill: Kill, kind: FaultKind, session: i64, target: &str) -> Result<()> {
        let fault = self.begin(kind, target);
        let hit = self.admin.run(|conn| Ok(kill(conn, session)))?;
        self.over(fault, hit);
        Ok(())
    }

    /// Interrupts the statements of one session that acquire, reload, commit and release.
    pub(super) fn storm(&mut self) -> Result<()> {
        let sessions = self.admin.run(server::sessions)?;
        let sessions: Vec<_> = sessions.iter().map(|session| session.id).collect();
        let Some(session) = self.pick(&sessions) else {
            return Ok(());
        };
        let fault = self.begin(FaultKind::Storm, &format!("session={session}"));
        let hit = self.admin.run(|conn| {
            let kills = (0..300).take_while(|_| server::interrupt(conn, session));
            Ok(kills.count() > 0)
        })?;
        self.over(fault, hit);
        Ok(())
    }

    pub(super) fn kill_worker(&mut self) -> Result<()> {
        let slot = self.rng.usize(0..self.fleet.len());
        let number = self.fleet.number(slot);
        let fault = self.begin(FaultKind::WorkerKill, &format!("worker={number}"));
        self.fleet.replace(slot)?;
        self.over(fault, true);
        Ok(())
    }

    pub(super) fn stop_worker(&mut self) -> Result<()> {
        let slot = self.rng.usize(0..self.fleet.len());
        let number = self.fleet.number(slot);
        if self
            .pending
            .iter()
            .any(|pending| pending.worker == Some(number))
        {
            return Ok(());
        }
        let target = format!("worker={number}");
        // Sometimes so long that other workers time out on the locks that it holds.
        let millis = match self.rng.u8(0..8) {
            0 => 7_000..9_000,
            _ => 50..2_500,
        };
        self.begin_lasting(FaultKind::WorkerStop, &target, Some(number), millis);
        self.fleet.signal(number, Signal::STOP)
    }

    pub(super) fn kill_server(&mut self) -> Result<()> {
        // The restarted server is not paused.
        self.end(|pending| pending.kind == FaultKind::ServerPause)?;
        let fault = self.begin(FaultKind::ServerKill, "-");
        self.env.server.kill();
        self.over(fault, true);
        let down = self.begin(FaultKind::ServerStart, "-");
        self.env.server.start_again()?;
        self.over(down, true);
        Ok(())
    }

    /// Waits for a COMMIT and cuts its connection. It misses if no COMMIT comes in time.
    pub(super) fn cut_at_commit(&mut self, kind: FaultKind, cut: impl FnOnce(&Proxy)) {
        let fault = self.begin(kind, "-");
        let proxy = &self.env.proxy;
        cut(proxy);
        let until = Instant::now() + COMMIT_TIMEOUT;
        while proxy.is_to_cut() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let hit = proxy.cut_no_more();
        self.over(fault, hit);
    }

    /// Shortens the timeout of idle sessions. Only new sessions get it, so the proxy cuts all
    /// connections.
    pub(super) fn shorten_wait_timeout(&mut self) -> Result<()> {
        self.begin_lasting(FaultKind::WaitTimeout, "-", None, 2_500..4_000);
        self.set_idle_timeout(true)?;
        self.env.proxy.cut();
        Ok(())
    }

    pub(super) fn set_idle_timeout(&mut self, is_short: bool) -> Result<()> {
        self.admin
            .run(|conn| server::set_idle_timeout(conn, is_short))
    }
}
