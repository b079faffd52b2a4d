//! The state of a model: the server, the callers, the pool, and what the rules need of the past.

use std::collections::VecDeque;

use crate::config::{Config, Faults};
use crate::database::{Database, Level};

/// The step that a caller takes next. Most of them are statements.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub enum Step {
    /// Loads its copy of the row, and begins the call.
    #[default]
    Start,
    /// Begins the caller's own transaction, and reads the row in it.
    BeginOuter,
    /// Requests the permit of the lock.
    Enqueue,
    /// Waits for the permit.
    Queued,
    /// Checks out a connection.
    CheckOut,
    /// Asks for the next lock, and waits for it if it is taken.
    Acquire,
    /// Waits for the server to grant the lock.
    Waiting,
    /// Releases a lock that a failed request may have acquired.
    Undo,
    Begin,
    Reload,
    /// The body releases the lock by raw SQL.
    Steal,
    /// The body writes the row.
    Work,
    /// The body does the rest of its work, without the database.
    Rest,
    Prove,
    Commit,
    RollBack,
    Release,
    /// Asks the server whether the lock can be handed off.
    ProveForHandoff,
    /// Releases the lock to sessions that wait, and acquires it again if there are none.
    Reacquire,
    HandOff,
    /// Leaks its guard, and closes its connection.
    Leak,
    /// Commits the caller's own transaction.
    CommitOuter,
    Done,
}

/// The state of the work under a lock.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Plain,
    Begun,
    Committed,
}

/// What a call reports.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Report {
    Success,
    /// An error before the body.
    NothingHappened,
    /// An error, and the transaction was rolled back.
    RolledBack,
    /// An error after the body ran outside a transaction.
    Ran,
    Unknown,
    /// Its future was dropped, so that nothing is reported.
    Dropped,
    /// Its guard was leaked, so that nothing is reported.
    Leaked,
}

/// What happened to a call, for the rules.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Record {
    pub report: Option<Report>,
    /// Its session did not hold the lock at some moment from the body's begin to COMMIT or to the
    /// release.
    pub was_lost: bool,
    /// The calls with a body under the same lock at some moment of this one's, one bit each.
    pub overlaps: u16,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Caller {
    pub step: Step,
    /// The index of its call.
    pub call: u8,
    pub session: Option<u8>,
    /// How many of the call's locks it has acquired.
    pub acquired: u8,
    /// What holds them.
    pub level: Level,
    /// The row as its body knows it.
    pub copy: u8,
    pub progress: Progress,
    pub error: Option<Report>,
    /// Whether its connection is marked as broken.
    pub is_broken: bool,
    pub has_permit: bool,
    /// How many further handoffs are allowed.
    pub budget: u8,
    /// How many there were since the server has granted the lock.
    pub handoffs: u8,
}

/// The pool of connections, and the queue of the requests for lock 0.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Pool {
    pub idle: VecDeque<u8>,
    /// Whether the permit is held, or granted.
    pub is_permit_taken: bool,
    /// Requests that wait for it.
    pub waiters: VecDeque<u8>,
    /// The permit, from when it is granted until the request takes it.
    pub granted: Option<Grant>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Grant {
    pub to: u8,
    pub handoff: Option<Handoff>,
}

/// A session that holds the lock.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Handoff {
    pub session: u8,
    pub budget: u8,
    pub handoffs: u8,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct State {
    pub db: Database,
    pub pool: Pool,
    pub callers: Vec<Caller>,
    /// One for each call of each caller.
    pub records: Vec<Record>,
    /// The faults that may still happen.
    pub faults: Faults,
    pub has_stale_body: bool,
    pub has_set_deadlock: bool,
    pub has_bad_handoff: bool,
}

impl State {
    pub fn initial(config: &Config) -> Self {
        let mut state = State {
            db: Database::new(config.server, config.isolation),
            pool: Pool::default(),
            callers: vec![Caller::default(); config.callers.len()],
            records: vec![Record::default(); config.callers.iter().map(|it| it.calls.len()).sum()],
            faults: config.faults,
            has_stale_body: false,
            has_set_deadlock: false,
            has_bad_handoff: false,
        };
        if config.callers.iter().any(|caller| caller.is_pooled) {
            for _ in 0..config.connections {
                state.add_idle();
            }
        }
        if config.is_leaked_in_pool {
            state.db.hold(0, 0, Level::Session);
        }
        state
    }

    /// Makes a session for a connection of the pool.
    pub fn add_idle(&mut self) {
        let id = self.connect();
        self.pool.idle.push_back(id);
    }

    pub fn connect(&mut self) -> u8 {
        let used: Vec<u8> = self.referenced().collect();
        let ended: Vec<bool> = self.db.sessions.iter().map(|it| !it.is_alive).collect();
        self.db
            .connect(|id| ended[usize::from(id)] && !used.contains(&id))
    }

    /// The sessions of open connections.
    pub fn referenced(&self) -> impl Iterator<Item = u8> {
        let granted = self.pool.granted.iter();
        let handoffs = granted.filter_map(|grant| grant.handoff.as_ref());
        let of_callers = self.callers.iter().filter_map(|caller| caller.session);
        let idle = self.pool.idle.iter().copied();
        of_callers.chain(idle).chain(handoffs.map(|it| it.session))
    }

    /// Whether the server has yet to notice that the connection of a session is closed.
    pub fn is_orphan(&self, id: u8) -> bool {
        let session = self.db.session(id);
        session.is_alive && (!session.is_connected || self.referenced().all(|it| it != id))
    }

    pub fn sessions(&self) -> impl Iterator<Item = u8> + use<> {
        (0u8..).take(self.db.sessions.len())
    }

    /// Whether all callers have left, and the server has noticed all that they left behind.
    pub fn is_over(&self) -> bool {
        self.callers.iter().all(|caller| caller.step == Step::Done)
            && !self.sessions().any(|id| self.is_orphan(id))
    }
}
