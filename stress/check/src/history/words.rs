//! The words of a history that stand for one of a few things.

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
        /// Somebody else has it, and we were not to wait.
        Busy = "busy",
        Timeout = "timeout",
        Deadlock = "deadlock",
        Interrupted = "interrupted",
        /// Refused inside an open transaction.
        OpenTransaction = "open-transaction",
        /// The body left a transaction open, which was rolled back.
        LeftOpen = "left-open",
        /// Lost: the server could not be asked.
        Lost = "lost",
        /// Lost: the server said that the lock was not ours.
        Disowned = "disowned",
        /// The connection failed during COMMIT.
        CommitUnknown = "commit-unknown",
        /// The row does not exist.
        Gone = "gone",
        /// The row has another lock than the model.
        KeyMismatch = "key-mismatch",
        /// Another error of the database, from the library.
        Database = "database",
        /// An error of the database, from the body's own statements.
        BodyDatabase = "body-database",
        /// No connection could be had from a pool.
        Pool = "pool",
        /// The body failed on purpose.
        Failed = "failed",
        /// The body panicked on purpose.
        Panicked = "panicked",
        /// A guard was dropped: nobody was told anything.
        Dropped = "dropped",
        /// None of these: the library said what it must not say.
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
    /// A fault that a worker causes in an operation of its own.
    OpFault {
        /// The body releases the lock behind the library's back, and another session may have it.
        Theft = "theft",
        /// The body puts another connection in the place of the one that it was given.
        Swap = "swap",
        /// The body acquires the lock once more and never releases that.
        Leak = "leak",
        /// The session has `autocommit = 0` before the call.
        NoAutocommit = "no-autocommit",
        /// The session has `completion_type = CHAIN` before the call.
        Chain = "chain",
        /// The body sets `autocommit = 0`.
        NoAutocommitInBody = "no-autocommit-in-body",
        /// The body sets `completion_type = CHAIN`.
        ChainInBody = "chain-in-body",
        /// The model's key is spelled otherwise than the row's.
        Misspelled = "misspelled",
        /// Diesel's instrumentation panics before the body runs.
        PanicWhileAcquiring = "panic-while-acquiring",
    }
}

impl OpFault {
    /// Whether the lock is not the operation's own any more.
    pub fn takes_the_lock(self) -> bool {
        matches!(self, Self::Theft | Self::Swap)
    }

    /// Whether the call must be refused.
    pub fn is_to_be_refused(self) -> bool {
        matches!(self, Self::NoAutocommit | Self::Chain | Self::Misspelled)
    }
}

words! {
    /// A worker process, as the coordinator sees it.
    WorkerState {
        Started = "started",
        /// By the coordinator, on purpose.
        Killed = "killed",
        /// In good order, having been told to.
        Exited = "exited",
        /// On its own, or with an error.
        Failed = "failed",
        /// It did not end when it was told to, and was killed.
        Hung = "hung",
    }
}

words! {
    /// What is done to make things go wrong.
    FaultKind {
        /// The session of somebody who holds a lock is ended by the server.
        KillHolder = "kill-holder",
        /// The same for somebody who waits for one.
        KillWaiter = "kill-waiter",
        /// The statement of a holder is ended.
        InterruptHolder = "interrupt-holder",
        InterruptWaiter = "interrupt-waiter",
        /// One session gets `KILL QUERY` hundreds of times.
        Storm = "storm",
        /// SIGKILL to a worker.
        WorkerKill = "worker-kill",
        /// SIGSTOP, and some time later SIGCONT.
        WorkerStop = "worker-stop",
        /// SIGKILL to the server.
        ServerKill = "server-kill",
        /// What follows: until it answers again. Not a fault of its own.
        ServerStart = "server-start",
        ServerPause = "server-pause",
        /// The proxy closes all connections.
        CutAll = "cut-all",
        CutOne = "cut-one",
        /// The proxy closes a connection instead of passing on its COMMIT.
        CutBeforeCommit = "cut-before-commit",
        /// The proxy passes on a COMMIT, and closes the connection instead of passing on the reply.
        CutAfterCommit = "cut-after-commit",
        /// The proxy passes nothing on for some time.
        Stall = "stall",
        /// The proxy passes everything on late.
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

    /// Whether it fails statements and leaves the session alive.
    pub fn ends_statements(self) -> bool {
        matches!(
            self,
            Self::InterruptHolder | Self::InterruptWaiter | Self::Storm
        )
    }

    /// Whether nobody gets an answer while it lasts.
    pub fn is_outage(self) -> bool {
        matches!(
            self,
            Self::ServerKill | Self::ServerStart | Self::ServerPause | Self::Stall | Self::Delay
        )
    }

    /// Whether it is counted: a consequence is not.
    pub fn is_counted(self) -> bool {
        self != Self::ServerStart
    }
}
