//! [`Depth`]: how many transactions Diesel has open on a connection.

use diesel::result::QueryResult;

use crate::driver::Driver;

/// The open transactions of a connection, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    count: u32,
    /// Whether the outermost one is Diesel's test transaction.
    is_test: bool,
}

/// The transaction that a statement runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionContext {
    NoTransaction,
    /// Diesel's test transaction, which never commits, and no other within it.
    TestTransaction,
    Transaction,
}

impl Depth {
    /// Returns an error if Diesel has marked the connection as broken.
    pub(crate) fn of<D: Driver>(driver: &mut D) -> QueryResult<Self> {
        let depth = driver.transaction_status().transaction_depth()?;
        let count = depth.map_or(0, std::num::NonZero::get);
        Ok(Depth {
            count,
            // Diesel considers a connection with any other open transaction broken.
            is_test: count > 0 && !driver.is_broken(),
        })
    }

    pub(crate) fn context(self) -> TransactionContext {
        match self.count {
            0 => TransactionContext::NoTransaction,
            1 if self.is_test => TransactionContext::TestTransaction,
            _ => TransactionContext::Transaction,
        }
    }

    /// Whether a test transaction was replaced by another transaction since `before`, or vice
    /// versa.
    pub(crate) fn is_exchanged(self, before: Depth) -> bool {
        self.count > 0 && self.is_test != before.is_test
    }

    /// How many transactions are open that were not open at `before`. If a test transaction was
    /// replaced, all open transactions count.
    pub(crate) fn since(self, before: Depth) -> u32 {
        match before.is_test && !self.is_test {
            true => self.count,
            false => self.count.saturating_sub(before.count),
        }
    }
}

/// Whether Diesel can still begin, commit and roll back.
pub(crate) fn is_usable<D: Driver>(driver: &mut D) -> bool {
    Depth::of(driver).is_ok()
}

/// Rolls back all transactions begun since `before`. Returns whether there were any.
pub(crate) async fn roll_back_to<D: Driver>(driver: &mut D, before: Depth) -> QueryResult<bool> {
    let mut any = false;
    while Depth::of(driver)?.since(before) > 0 {
        driver.roll_back().await?;
        any = true;
    }
    Ok(any)
}

/// Makes a pool discard the connection, and Diesel refuse to begin or commit on it.
pub(crate) fn mark_broken<D: Driver>(driver: &mut D) {
    driver.transaction_status().set_in_error();
}
