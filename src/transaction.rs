//! All that is asked of Diesel's transaction manager.

use diesel::connection::{Connection, TransactionManager};
use diesel::result::QueryResult;

type Manager<C> = <C as Connection>::TransactionManager;

/// The transactions that are open, as Diesel counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    count: u32,
    /// The outermost was begun by `begin_test_transaction`.
    is_test: bool,
}

/// What a lock is acquired, and released, inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    NoTransaction,
    /// Diesel's test transaction, which never commits, and nothing in it.
    TestTransaction,
    Transaction,
}

impl Depth {
    /// An error means that Diesel has given up on the connection.
    pub(crate) fn of<C: Connection>(conn: &mut C) -> QueryResult<Self> {
        let depth = Manager::<C>::transaction_manager_status_mut(conn).transaction_depth()?;
        let count = depth.map_or(0, std::num::NonZero::get);
        Ok(Depth {
            count,
            // Diesel calls a connection with any other open transaction broken.
            is_test: count > 0 && !Manager::<C>::is_broken_transaction_manager(conn),
        })
    }

    pub(crate) fn surroundings(self) -> Surroundings {
        match self.count {
            0 => Surroundings::NoTransaction,
            1 if self.is_test => Surroundings::TestTransaction,
            _ => Surroundings::Transaction,
        }
    }

    /// Whether a test transaction was replaced by another transaction since `before`, or the other way round.
    pub(crate) fn is_exchanged(self, before: Depth) -> bool {
        self.count > 0 && self.is_test != before.is_test
    }

    /// How many transactions are open that were not open at `before`, which is what is left of a test transaction
    /// that was replaced by another one, too.
    pub(crate) fn since(self, before: Depth) -> u32 {
        match before.is_test && !self.is_test {
            true => self.count,
            false => self.count.saturating_sub(before.count),
        }
    }
}

/// Whether Diesel can still begin, commit and roll back.
pub(crate) fn works<C: Connection>(conn: &mut C) -> bool {
    Depth::of(conn).is_ok()
}

pub(crate) fn begin<C: Connection>(conn: &mut C) -> QueryResult<()> {
    Manager::<C>::begin_transaction(conn)
}

pub(crate) fn commit<C: Connection>(conn: &mut C) -> QueryResult<()> {
    Manager::<C>::commit_transaction(conn)
}

/// Rolls back all that was begun since `before`. Returns whether there was anything.
pub(crate) fn roll_back_to<C: Connection>(conn: &mut C, before: Depth) -> QueryResult<bool> {
    let mut any = false;
    while Depth::of(conn)?.since(before) > 0 {
        Manager::<C>::rollback_transaction(conn)?;
        any = true;
    }
    Ok(any)
}

/// Makes a pool discard the connection, and Diesel refuse to begin or commit on it.
pub(crate) fn mark_broken<C: Connection>(conn: &mut C) {
    Manager::<C>::transaction_manager_status_mut(conn).set_in_error();
}
