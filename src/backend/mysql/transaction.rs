//! BEGIN and COMMIT in one round trip each, on connections where SQL text takes more.
//!
//! Diesel's `batch_execute` takes three: it lets the server accept several statements at once, sends
//! the text, and forbids that again. A prepared statement takes one.

use diesel::connection::TransactionDepthChange::{self, DecreaseDepth, IncreaseDepth};
use diesel::connection::TransactionManagerStatus;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};

use super::error_code::Failure;
use crate::driver::Driver;
use crate::transaction;

/// MySQL cannot prepare a BEGIN. It can prepare a COMMIT, and this one commits nothing and begins a
/// transaction. Each server reads the other's statement as a comment.
///
/// Sources: [COMMIT AND CHAIN][chain], and MariaDB on [comments for newer versions of MySQL][comment].
///
/// [chain]: https://dev.mysql.com/doc/refman/9.7/en/commit.html
/// [comment]: https://mariadb.com/kb/en/comment-syntax/
#[derive(QueryId)]
struct Begin;

impl QueryFragment<Mysql> for Begin {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("/*M! BEGIN */ /*!50700 COMMIT AND CHAIN NO RELEASE */");
        Ok(())
    }
}

#[derive(QueryId)]
struct Commit;

impl QueryFragment<Mysql> for Commit {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("COMMIT AND NO CHAIN NO RELEASE");
        Ok(())
    }
}

/// Begins a transaction, or a savepoint in an open one.
pub(super) async fn begin<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<()> {
    if D::BATCH_IS_ONE_ROUND_TRIP || depth(driver)? != 0 {
        return driver.begin().await;
    }
    let Err(error) = driver.execute(Begin).await else {
        return change_depth(driver, IncreaseDepth);
    };
    let failure = Failure::of(driver, error).await;
    // The server has not prepared it.
    if !failure.may_have_run() {
        return driver.begin().await;
    }
    if roll_back_all(driver).await.is_err() {
        transaction::mark_broken(driver);
    }
    Err(failure.error)
}

/// Commits the innermost transaction or savepoint. Fails as [`Driver::commit`] does.
pub(super) async fn commit<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<()> {
    if D::BATCH_IS_ONE_ROUND_TRIP || depth(driver)? != 1 {
        return driver.commit().await;
    }
    let Err(error) = driver.execute(Commit).await else {
        return change_depth(driver, DecreaseDepth);
    };
    let failure = Failure::of(driver, error).await;
    if !failure.may_have_run() {
        return driver.commit().await;
    }
    match driver.roll_back().await {
        Ok(()) => Err(failure.error),
        Err(rollback_error) => {
            transaction::mark_broken(driver);
            Err(DieselError::RollbackErrorOnCommit {
                rollback_error: Box::new(rollback_error),
                commit_error: Box::new(failure.error),
            })
        }
    }
}

/// Rolls back any open transaction, also one that Diesel does not know of. With `completion_type =
/// CHAIN`, a plain ROLLBACK would begin the next transaction.
pub(super) async fn roll_back_all<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<()> {
    driver.batch("ROLLBACK AND NO CHAIN NO RELEASE").await
}

fn depth<D: Driver>(driver: &mut D) -> QueryResult<u32> {
    let depth = driver.transaction_status().transaction_depth()?;
    Ok(depth.map_or(0, std::num::NonZero::get))
}

/// Counts a transaction for Diesel.
fn change_depth<D: Driver>(driver: &mut D, change: TransactionDepthChange) -> QueryResult<()> {
    match driver.transaction_status() {
        TransactionManagerStatus::Valid(status) => status.change_transaction_depth(change),
        TransactionManagerStatus::InError => Err(DieselError::BrokenTransactionManager),
    }
}
