//! All that is asked of Diesel's transaction manager.

use diesel::connection::{Connection, TransactionManager};
use diesel::result::QueryResult;

type Manager<C> = <C as Connection>::TransactionManager;

/// How many transactions and savepoints Diesel has open; a `BEGIN` in raw SQL is not among them.
///
/// # Errors
///
/// `BrokenTransactionManager` on a connection that is marked as broken.
pub(crate) fn depth<C: Connection>(conn: &mut C) -> QueryResult<u32> {
    let depth = Manager::<C>::transaction_manager_status_mut(conn).transaction_depth()?;
    Ok(depth.map_or(0, std::num::NonZero::get))
}

/// Whether Diesel has not given up on the connection.
pub(crate) fn works<C: Connection>(conn: &mut C) -> bool {
    depth(conn).is_ok()
}

/// Whether nothing is open but `begin_test_transaction`'s own, which never ends in a COMMIT. It is
/// the only open transaction that Diesel does not call broken.
pub(crate) fn is_test<C: Connection>(conn: &mut C, depth: u32) -> bool {
    depth == 1 && !Manager::<C>::is_broken_transaction_manager(conn)
}

pub(crate) fn begin<C: Connection>(conn: &mut C) -> QueryResult<()> {
    Manager::<C>::begin_transaction(conn)
}

pub(crate) fn commit<C: Connection>(conn: &mut C) -> QueryResult<()> {
    Manager::<C>::commit_transaction(conn)
}

/// Rolls back all that was opened above `depth`.
pub(crate) fn roll_back_to<C: Connection>(conn: &mut C, target: u32) -> QueryResult<()> {
    while depth(conn)? > target {
        Manager::<C>::rollback_transaction(conn)?;
    }
    Ok(())
}

/// Makes a pool discard the connection, and Diesel refuse to begin or commit on it.
pub(crate) fn mark_broken<C: Connection>(conn: &mut C) {
    Manager::<C>::transaction_manager_status_mut(conn).set_in_error();
}
