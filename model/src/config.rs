//! What a check explores: the server, the callers with their calls, the faults and the mutant.

use crate::mutant::Mutant;

/// The number of locks. Lock 0 protects the row.
pub const LOCKS: usize = 2;

/// The server, as far as its rules differ.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, clap::ValueEnum)]
pub enum Server {
    /// MySQL and MariaDB. All locks are the session's. A deadlock is an error at once of the call
    /// that closes the cycle, which keeps its locks and its transaction.
    Mysql,
    /// PostgreSQL. A transaction can hold locks, any error aborts it, a wait that has timed out may
    /// leave its lock behind, and a deadlock ends the wait of any session in the cycle.
    Postgres,
}

/// The isolation level of all transactions.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, clap::ValueEnum)]
pub enum Isolation {
    /// Each statement sees what was committed before it. PostgreSQL's default.
    ReadCommitted,
    /// All statements of a transaction see one snapshot. MySQL takes it at the first read, and
    /// PostgreSQL at the first statement, even if that statement waits for a lock. MySQL's default.
    RepeatableRead,
}

/// The form of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.run`, `.with_lock`, or `.acquire` and `.release`: the body's statement commits by itself.
    Run,
    /// `.transaction`.
    Transaction,
    /// `.acquire`, and the guard is leaked. The caller then closes its connection.
    LeakedGuard,
}

/// What the body does besides adding 1 to the row that was reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Plain,
    /// It releases the lock by raw SQL. In a transaction that holds the lock itself, it ends this
    /// transaction and begins another.
    Theft,
    /// A re-entrant call before such a theft. In a transaction on PostgreSQL, this call's own hold
    /// lasts until COMMIT.
    TheftUnderNestedLock,
    /// A re-entrant guard that is leaked.
    LeakNested,
    /// It begins a transaction, and does not end it.
    LeaveOpen,
    /// It returns success although its statement has failed.
    IgnoreError,
}

/// One call of a caller.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub form: Form,
    pub body: Body,
    /// In the order in which they are requested. Only lock 0 can be requested through the pool.
    pub locks: &'static [u8],
    /// Whether they are all locks, as one set by `lock_all`. Otherwise the calls are nested.
    pub is_set: bool,
    /// Whether the caller has a transaction open, in which it has read the row.
    pub in_transaction: bool,
}

impl Call {
    pub const fn new(form: Form) -> Self {
        Call {
            form,
            body: Body::Plain,
            locks: &[0],
            is_set: false,
            in_transaction: false,
        }
    }

    pub const fn with(self, body: Body) -> Self {
        Call { body, ..self }
    }

    pub const fn nested(self, locks: &'static [u8]) -> Self {
        Call { locks, ..self }
    }

    pub const fn set(self, locks: &'static [u8]) -> Self {
        let is_set = true;
        Call {
            locks,
            is_set,
            ..self
        }
    }

    pub const fn in_transaction(self) -> Self {
        Call {
            in_transaction: true,
            ..self
        }
    }
}

/// A thread or a task, which makes one call after the other.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub calls: Vec<Call>,
    /// Whether its calls go through the `LockPool` that all such callers share. Otherwise it has a
    /// connection of its own.
    pub is_pooled: bool,
    /// Whether its future may be dropped, or a panic may end a step.
    pub is_async: bool,
}

/// How many faults of each kind may happen.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub struct Faults {
    /// The server ends a session that holds a lock, waits for one, or has a transaction.
    pub kills: u8,
    /// A statement is canceled before or after it had its effect. The session lives on.
    pub interrupts: u8,
    /// A connection fails before or after a statement had its effect.
    pub cuts: u8,
    /// A wait for a lock or for a permit times out.
    pub timeouts: u8,
    /// A future is dropped before or after its statement had its effect.
    pub drops: u8,
}

/// Everything that a check explores.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub isolation: Isolation,
    pub callers: Vec<Caller>,
    pub faults: Faults,
    /// The number of connections in the pool.
    pub connections: u8,
    /// The limit of `LockPool::builder().max_handoffs(..)`.
    pub max_handoffs: u8,
    /// Whether the first connection in the pool holds lock 0, because a guard on it was leaked.
    pub is_leaked_in_pool: bool,
    /// The protection that is taken out.
    pub mutant: Option<Mutant>,
}

impl Config {
    pub fn new(server: Server, callers: Vec<Caller>, faults: Faults) -> Self {
        Config {
            server,
            isolation: match server {
                Server::Mysql => Isolation::RepeatableRead,
                Server::Postgres => Isolation::ReadCommitted,
            },
            callers,
            faults,
            connections: 2,
            max_handoffs: 1,
            is_leaked_in_pool: false,
            mutant: None,
        }
    }

    /// A call. The locks of a set are in the order in which they are acquired.
    pub fn call(&self, caller: usize, number: u8) -> Option<Call> {
        let call = *self.callers[caller].calls.get(usize::from(number))?;
        Some(match call.is_set && !self.is(Mutant::UnsortedSet) {
            true => call.set(&[0, 1]),
            false => call,
        })
    }

    /// Whether no call requests its locks in an order of its own.
    pub fn has_only_sets(&self) -> bool {
        let mut calls = self.callers.iter().flat_map(|caller| &caller.calls);
        calls.all(|call| call.is_set || call.locks.len() == 1)
    }

    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
