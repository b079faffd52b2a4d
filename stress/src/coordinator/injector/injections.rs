//! The faults that take more than a word to the proxy or the server.

use std::time::{Duration, Instant};

use anyhow::Result;
use diesel::connection::SimpleConnection;
use diesel::mysql::MysqlConnection;
use rustix::process::Signal;
use stress_check::history::FaultKind;
use test_server::Proxy;

use super::Injector;
use crate::coordinator::admin;

/// How long a COMMIT is waited for.
const COMMIT_COMES: Duration = Duration::from_millis(300);

impl Injector<'_, '_> {
    pub(super) fn kill_holder(&mut self, statement: &str, kind: FaultKind) -> Result<()> {
        let holders = self.admin.run(admin::holders)?;
        let Some((name, session)) = self.pick(&holders) else {
            return Ok(());
        };
        self.kill(
            statement,
            kind,
            session,
            &format!("session={session},name={name}"),
        )
    }

    pub(super) fn kill_waiter(&mut self, statement: &str, kind: FaultKind) -> Result<()> {
        let sessions = self.admin.run(admin::sessions)?;
        let waiters: Vec<_> = sessions
            .iter()
            .filter(|session| session.waits_for_a_lock())
            .map(|session| session.id)
            .collect();
        let Some(session) = self.pick(&waiters) else {
            return Ok(());
        };
        self.kill(statement, kind, session, &format!("session={session}"))
    }

    pub(super) fn kill(
        &mut self,
        statement: &str,
        kind: FaultKind,
        session: u64,
        target: &str,
    ) -> Result<()> {
        let fault = self.begin(kind, target);
        // An error means that it has just ended by itself.
        let struck = self.admin.run(|conn| Ok(kill(conn, statement, session)))?;
        self.over(fault, struck);
        Ok(())
    }

    /// Strikes the acquiring, re-reading, committing and releasing statements of one session.
    pub(super) fn storm(&mut self) -> Result<()> {
        let sessions = self.admin.run(admin::sessions)?;
        let sessions: Vec<_> = sessions.iter().map(|session| session.id).collect();
        let Some(session) = self.pick(&sessions) else {
            return Ok(());
        };
        let fault = self.begin(FaultKind::Storm, &format!("session={session}"));
        let struck = self.admin.run(|conn| {
            let strikes = (0..300).take_while(|_| kill(conn, "KILL QUERY", session));
            Ok(strikes.count() > 0)
        })?;
        self.over(fault, struck);
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
        // Now and then so long that others must give up on the locks that it holds.
        let millis = match self.rng.u8(0..8) {
            0 => 7_000..9_000,
            _ => 50..2_500,
        };
        self.begin_lasting(FaultKind::WorkerStop, &target, Some(number), millis);
        self.fleet.signal(number, Signal::STOP)
    }

    pub(super) fn kill_server(&mut self) -> Result<()> {
        // A paused one is not going to see anything else.
        self.end(|pending| pending.kind == FaultKind::ServerPause)?;
        let fault = self.begin(FaultKind::ServerKill, "-");
        self.stage.server.kill();
        self.over(fault, true);
        let down = self.begin(FaultKind::ServerStart, "-");
        self.stage.server.start_again()?;
        self.over(down, true);
        Ok(())
    }

    /// Waits for a COMMIT, which soon comes unless nothing passes the proxy.
    pub(super) fn cut_at_commit(&mut self, kind: FaultKind, cut: impl FnOnce(&Proxy)) {
        let fault = self.begin(kind, "-");
        let proxy = &self.stage.proxy;
        cut(proxy);
        let until = Instant::now() + COMMIT_COMES;
        while proxy.is_to_cut() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let struck = proxy.cut_no_more();
        self.over(fault, struck);
    }

    /// Sessions take the time-out that is set when they begin, so a few have to begin now.
    pub(super) fn shorten_wait_timeout(&mut self) -> Result<()> {
        self.begin_lasting(FaultKind::WaitTimeout, "-", None, 2_500..4_000);
        self.set_wait_timeout(1)?;
        self.stage.proxy.cut();
        Ok(())
    }

    pub(super) fn set_wait_timeout(&mut self, seconds: u32) -> Result<()> {
        let statement = format!("SET GLOBAL wait_timeout = {seconds}");
        self.admin.run(|conn| conn.batch_execute(&statement))
    }
}

/// `false`: the session has just ended by itself.
fn kill(conn: &mut MysqlConnection, statement: &str, session: u64) -> bool {
    conn.batch_execute(&format!("{statement} {session}"))
        .is_ok()
}
