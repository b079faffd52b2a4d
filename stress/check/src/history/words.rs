//! The enumerations of a history, and the word that stands for each variant.

use std::fmt;
use std::str::FromStr;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
    };
}

words! {
    /// What a call returned.
    Outcome {
        /// The body ran, and the lock was held throughout, or until its COMMIT.
        Ok = "ok",
        /// Another session holds the lock, and the call does not wait.
        Contended = "contended",
        Timeout = "timeout",
        Deadlock = "deadlock",
        Interrupted = "interrupted",
        /// Refused inside an open transaction.
        OpenTransaction = "open-transaction",
        /// The body left a transaction open, which was rolled back.
        LeftOpen = "left-open",
        /// Refused in a transaction above READ COMMITTED.
        IsolationLevel = "isolation-level",
        /// Refused because the session holds the lock shared.
        SharedHeld = "shared-held",
        /// Lost, because the server did not answer.
        Lost = "lost",
        /// Lost, because the server answered that the session did not hold the lock.
        NotHeld = "not-held",
        /// The connection failed during COMMIT.
        CommitUnknown = "commit-unknown",
        RowNotFound = "row-not-found",
        /// The row has another lock than the model.
        KeyMismatch = "key-mismatch",
        /// A database error of one of the library's statements.
        Database = "database",
        /// A database error of one of the body's statements.
        BodyDatabase = "body-database",
        /// A pool had no connection.
        Pool = "pool",
        /// The body failed on purpose.
        Failed = "failed",
        /// The body panicked on purpose.
        Panicked = "panicked",
        /// A guard was dropped, which returns no error.
        Dropped = "dropped",
        /// Its future was dropped before it returned, or its guard on an asynchronous connection
        /// was. The work may be committed, and the session ends.
        Cut = "cut",
        /// A statement got the answer to another one, which must not happen.
        WrongAnswer = "wrong-answer",
        /// None of these, which the library must not return.
        Other = "other",
    }
}

words! {
    /// What the library's error says became of the work.
    Claim {
        /// The body did not run.
        NothingHappened = "nothing-happened",
        RolledBack = "rolled-back",
        /// The body ran outside of a transaction of the lock.
        Ran = "ran",
        Committed = "committed",
        Unknown = "unknown",
    }
}

words! {
    /// A fault that a worker causes in one of its calls.
    OpFault {
        /// The body releases the lock by SQL, so that another session can acquire it.
        Theft = "theft",
        /// The theft just before was without effect: the lock is held until the end of the
        /// transaction.
        VainTheft = "vain-theft",
        /// The body swaps its connection with another one.
        Swap = "swap",
        /// The body acquires the lock once more and never releases it.
        Leak = "leak",
        /// The session has `autocommit = 0` before the call.
        NoAutocommit = "no-autocommit",
        /// The session has `completion_type = CHAIN` before the call.
        Chain = "chain",
        /// The body sets `autocommit = 0`.
        NoAutocommitInBody = "no-autocommit-in-body",
        /// The body sets `completion_type = CHAIN`.
        ChainInBody = "chain-in-body",
        /// A transaction is open before the call that Diesel does not know of.
        RawBegin = "raw-begin",
        /// The body begins a transaction that Diesel does not know of.
        RawBeginInBody = "raw-begin-in-body",
        /// The session has a `statement_timeout`, which does not apply to waits.
        StatementTimeout = "statement-timeout",
        /// The body changes the `search_path`.
        SearchPath = "search-path",
        /// The body resets all settings of the session, with it the library's own.
        ResetAll = "reset-all",
        /// The body discards the session's locks, prepared statements and settings.
        DiscardAll = "discard-all",
        /// The model's key is spelled differently from the row's.
        Misspelled = "misspelled",
        /// Diesel's instrumentation panics before the body runs.
        PanicWhileAcquiring = "panic-while-acquiring",
        /// The runtime of the call is shut down. It may drop the task of the call's connection before
        /// the call, whose body then no longer holds the lock.
        RuntimeShutdown = "runtime-shutdown",
    }
}

impl OpFault {
    /// Whether the call no longer holds its lock after the fault.
    pub fn takes_the_lock(self) -> bool {
        matches!(self, Self::Theft | Self::Swap | Self::DiscardAll)
    }

    /// Whether the library must refuse the call.
    pub fn must_be_refused(self) -> bool {
        matches!(
            self,
            Self::NoAutocommit | Self::Chain | Self::RawBegin | Self::Misspelled
        )
    }
}

words! {
    /// The state of a worker process, as the coordinator sees it.
    WorkerState {
        Started = "started",
        /// The coordinator killed it as a fault.
        Killed = "killed",
        /// It stopped on request, without an error.
        Exited = "exited",
        /// It ended without a request, or with an error.
        Failed = "failed",
        /// It did not stop on request, and was killed.
        Hung = "hung",
    }
}

words! {
    /// A fault that the coordinator causes.
    FaultKind {
        /// The server ends a session that holds a lock.
        KillHolder = "kill-holder",
        /// The server ends a session that waits for a lock.
        KillWaiter = "kill-waiter",
        /// The server interrupts the statement of a session that holds a lock.
        InterruptHolder = "interrupt-holder",
        /// The server interrupts the statement of a session that waits for a lock.
        InterruptWaiter = "interrupt-waiter",
        /// The statements of one session are interrupted hundreds of times.
        Storm = "storm",
        /// SIGKILL to a worker.
        WorkerKill = "worker-kill",
        /// SIGSTOP to a worker, and SIGCONT later.
        WorkerStop = "worker-stop",
        /// SIGKILL to the server.
        ServerKill = "server-kill",
        /// The restart after `server-kill`, until the server answers. It is not counted as a fault.
        ServerStart = "server-start",
        /// SIGSTOP to the server, and SIGCONT later.
        ServerPause = "server-pause",
        /// The proxy closes all connections.
        CutAll = "cut-all",
        /// The proxy closes one connection.
        CutOne = "cut-one",
        /// The proxy closes a connection instead of forwarding its COMMIT.
        CutBeforeCommit = "cut-before-commit",
        /// The proxy forwards a COMMIT, and closes the connection instead of forwarding the reply.
        CutAfterCommit = "cut-after-commit",
        /// The proxy forwards nothing for a while.
        Stall = "stall",
        /// The proxy forwards everything late for a while.
        Delay = "delay",
        /// The server ends sessions that are idle for a second.
        WaitTimeout = "wait-timeout",
    }
}

impl FaultKind {
    /// Whether it can end a session.
    pub fn ends_sessions(self) -> bool {
        matches!(
            self,
            Self::KillHolder
                | Self::KillWaiter
                | Self::ServerKill
                | Self::CutAll
                | Self::CutOne
                | Self::CutBeforeCommit
                | Self::CutAfterCommit
                | Self::WaitTimeout
        )
    }

    /// Whether it interrupts statements and leaves the session alive.
    pub fn ends_statements(self) -> bool {
        matches!(
            self,
            Self::InterruptHolder | Self::InterruptWaiter | Self::Storm
        )
    }

    /// Whether the server does not answer in time while it lasts.
    pub fn is_outage(self) -> bool {
        matches!(
            self,
            Self::ServerKill | Self::ServerStart | Self::ServerPause | Self::Stall | Self::Delay
        )
    }

    /// Whether it counts as a fault, not as the consequence of one.
    pub fn is_counted(self) -> bool {
        self != Self::ServerStart
    }
}
