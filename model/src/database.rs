//! The server: its sessions, its lock table with the queues, and one row.

use std::collections::VecDeque;

use crate::config::{Isolation, LOCKS, Server};

/// What holds a lock, or waits for it.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub enum Level {
    #[default]
    Session,
    /// Only on PostgreSQL.
    Transaction,
}

/// Why a statement has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection is lost.
    Closed,
    /// The server has answered with an error, and the session lives on.
    Refused,
    /// So it has, and the error is a deadlock.
    Deadlock,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Session {
    pub is_alive: bool,
    /// Whether the client can still send statements.
    pub is_connected: bool,
    /// How often the session holds each lock.
    pub holds: [u8; LOCKS],
    pub transaction: Option<Transaction>,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Transaction {
    /// Whether it was begun together with its locks, and has not been replaced by another.
    pub is_marked: bool,
    pub is_aborted: bool,
    /// The row as all reads see it, if there was one at REPEATABLE READ.
    pub snapshot: Option<u8>,
    /// The row's new value, and the call that has written it.
    pub written: Option<(u8, u8)>,
    /// The locks that it holds.
    pub holds: [bool; LOCKS],
}

/// The answer to a request for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    Now,
    /// The session waits in the queue.
    Queued,
}

/// The answer to a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked {
    NotHeld,
    Free,
    StillHeld,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Database {
    server: Server,
    isolation: Isolation,
    pub sessions: Vec<Session>,
    pub queues: [VecDeque<(u8, Level)>; LOCKS],
    /// The row's committed value, which begins at 0.
    pub row: u8,
    /// The calls whose increment is committed, one bit each.
    pub committed: u16,
    /// Whether a transaction was committed by a session that did not hold its locks.
    pub has_committed_without_lock: bool,
}

type Answer<T> = Result<T, Failure>;

impl Database {
    pub fn new(server: Server, isolation: Isolation) -> Self {
        Database {
            server,
            isolation,
            sessions: Vec::new(),
            queues: Default::default(),
            row: 0,
            committed: 0,
            has_committed_without_lock: false,
        }
    }

    pub fn session(&self, id: u8) -> &Session {
        &self.sessions[usize::from(id)]
    }

    pub fn session_mut(&mut self, id: u8) -> &mut Session {
        &mut self.sessions[usize::from(id)]
    }

    /// Whether the client's next statement reaches the session.
    pub fn is_reachable(&self, id: u8) -> bool {
        self.session(id).is_alive && self.session(id).is_connected
    }

    /// Makes a session. `is_free` says which numbers of sessions that have ended may be used again.
    pub(crate) fn connect(&mut self, is_free: impl Fn(u8) -> bool) -> u8 {
        let new = Session {
            is_alive: true,
            is_connected: true,
            ..Session::default()
        };
        let free = (0u8..).zip(&self.sessions).find(|(id, _)| is_free(*id));
        if let Some((id, _)) = free {
            *self.session_mut(id) = new;
            return id;
        }
        self.sessions.push(new);
        u8::try_from(self.sessions.len() - 1).expect("few sessions")
    }

    /// Ends a session: its transaction is rolled back, and then its locks are free.
    pub fn end(&mut self, id: u8) {
        *self.session_mut(id) = Session {
            is_connected: self.session(id).is_connected,
            ..Session::default()
        };
        self.leave_queues(id);
        self.grant();
    }

    pub fn holds(&self, id: u8, lock: u8) -> bool {
        let (session, lock) = (self.session(id), usize::from(lock));
        let transaction = session.transaction.as_ref();
        session.holds[lock] > 0 || transaction.is_some_and(|it| it.holds[lock])
    }

    pub fn holds_all(&self, id: u8, locks: &[u8]) -> bool {
        locks.iter().all(|&lock| self.holds(id, lock))
    }

    pub fn holds_any(&self, id: u8) -> bool {
        (0u8..).take(LOCKS).any(|lock| self.holds(id, lock))
    }

    pub fn holder(&self, lock: u8) -> Option<u8> {
        let ids = (0u8..).take(self.sessions.len());
        ids.into_iter().find(|&id| self.holds(id, lock))
    }

    pub fn waits(&self, id: u8) -> bool {
        self.queues
            .iter()
            .flatten()
            .any(|(waiter, _)| *waiter == id)
    }

    /// Acquires a lock, or enqueues the session. Waiters are served first come, first served.
    pub(crate) fn acquire(&mut self, id: u8, lock: u8, level: Level) -> Answer<Granted> {
        let (at, row) = (usize::from(lock), self.row);
        let takes_snapshot = self.server == Server::Postgres;
        if let Some(transaction) = &mut self.session_mut(id).transaction {
            if transaction.is_aborted {
                return Err(Failure::Refused);
            }
            if takes_snapshot {
                transaction.snapshot.get_or_insert(row);
            }
        }
        if self.holder(lock).is_none_or(|holder| holder == id) {
            self.hold(id, lock, level);
            return Ok(Granted::Now);
        }
        self.queues[at].push_back((id, level));
        if self.server == Server::Mysql && self.is_in_deadlock(id) {
            return Err(self.end_wait(id, Failure::Deadlock));
        }
        Ok(Granted::Queued)
    }

    pub fn hold(&mut self, id: u8, lock: u8, level: Level) {
        let at = usize::from(lock);
        let session = self.session_mut(id);
        match (level, &mut session.transaction) {
            (Level::Transaction, Some(transaction)) => transaction.holds[at] = true,
            _ => session.holds[at] += 1,
        }
    }

    /// A re-entrant lock. In a transaction on PostgreSQL, the transaction holds it.
    pub fn hold_again(&mut self, id: u8, lock: u8) {
        match self.server {
            Server::Mysql => self.hold(id, lock, Level::Session),
            Server::Postgres => self.hold(id, lock, Level::Transaction),
        }
    }

    /// Ends a wait with an error.
    pub fn end_wait(&mut self, id: u8, failure: Failure) -> Failure {
        self.leave_queues(id);
        if failure != Failure::Deadlock || self.server == Server::Postgres {
            self.fail_statement(id);
        }
        failure
    }

    /// Whether the session waits for a lock whose holder waits, directly or not, for this session.
    pub fn is_in_deadlock(&self, id: u8) -> bool {
        let waits_for = |id| {
            let queues = (0u8..).zip(&self.queues);
            let mut locks = queues.filter(|(_, queue)| queue.iter().any(|(it, _)| *it == id));
            locks.next().and_then(|(lock, _)| self.holder(lock))
        };
        let chain = std::iter::successors(waits_for(id), |&next| waits_for(next));
        chain.take(self.sessions.len()).any(|next| next == id)
    }

    pub fn unlock(&mut self, id: u8, lock: u8) -> Unlocked {
        let holds = &mut self.session_mut(id).holds[usize::from(lock)];
        let answer = match holds {
            0 => return Unlocked::NotHeld,
            1 => Unlocked::Free,
            _ => Unlocked::StillHeld,
        };
        *holds -= 1;
        self.grant();
        answer
    }

    fn leave_queues(&mut self, id: u8) {
        for queue in &mut self.queues {
            queue.retain(|(waiter, _)| *waiter != id);
        }
    }

    /// Grants each lock that is free to the session that has waited longest.
    fn grant(&mut self) {
        for lock in (0u8..).take(LOCKS) {
            if self.holder(lock).is_none()
                && let Some((id, level)) = self.queues[usize::from(lock)].pop_front()
            {
                self.hold(id, lock, level);
            }
        }
    }

    pub fn begin(&mut self, id: u8, is_marked: bool) {
        self.session_mut(id).transaction = Some(Transaction {
            is_marked,
            ..Transaction::default()
        });
    }

    pub(crate) fn read(&mut self, id: u8) -> Answer<u8> {
        let (row, isolation) = (self.row, self.isolation);
        match &mut self.session_mut(id).transaction {
            Some(transaction) if transaction.is_aborted => Err(Failure::Refused),
            Some(transaction) if isolation == Isolation::RepeatableRead => {
                Ok(*transaction.snapshot.get_or_insert(row))
            }
            _ => Ok(row),
        }
    }

    /// Whether another session has written the row and not ended its transaction, so that a write
    /// waits for it.
    pub fn is_row_locked(&self, id: u8) -> bool {
        let others = (0u8..).zip(&self.sessions).filter(|(it, _)| *it != id);
        let mut open = others.filter_map(|(_, session)| session.transaction.as_ref());
        open.any(|transaction| transaction.written.is_some())
    }

    pub(crate) fn write(&mut self, id: u8, value: u8, call: u8) -> Answer<()> {
        let (row, server, isolation) = (self.row, self.server, self.isolation);
        let Some(transaction) = &mut self.session_mut(id).transaction else {
            self.row = value;
            self.committed |= 1 << call;
            return Ok(());
        };
        let conflicts = (server, isolation) == (Server::Postgres, Isolation::RepeatableRead)
            && transaction.snapshot.is_some_and(|snapshot| snapshot != row);
        if transaction.is_aborted || conflicts {
            transaction.is_aborted = true;
            return Err(Failure::Refused);
        }
        transaction.written = Some((value, call));
        Ok(())
    }

    /// Commits. `locks` are those that the session must hold.
    pub(crate) fn commit(&mut self, id: u8, locks: &[u8]) -> Answer<()> {
        let is_held = self.holds_all(id, locks);
        let transaction = self.session_mut(id).transaction.take();
        let transaction = transaction.ok_or(Failure::Refused)?;
        let result = match transaction {
            Transaction {
                is_aborted: true, ..
            } => Err(Failure::Refused),
            Transaction { written, .. } => {
                self.has_committed_without_lock |= !is_held;
                if let Some((value, call)) = written {
                    self.row = value;
                    self.committed |= 1 << call;
                }
                Ok(())
            }
        };
        self.grant();
        result
    }

    pub fn roll_back(&mut self, id: u8) {
        self.session_mut(id).transaction = None;
        self.grant();
    }

    /// A statement has failed. On PostgreSQL this aborts the transaction.
    pub fn fail_statement(&mut self, id: u8) {
        if self.server == Server::Postgres
            && let Some(transaction) = &mut self.session_mut(id).transaction
        {
            transaction.is_aborted = true;
        }
    }
}
