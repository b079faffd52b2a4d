//! The same requests without locks, for `--without-lock`: updates are lost.

use axum::Json;
use axum::extract::{Path, State};
use diesel_async::AsyncConnection;

use super::errors::WalletError;
use super::service::Service;
use super::wallet::{Account, Transfer, Withdrawal, dispense};

pub(super) async fn transfer(
    State(service): State<Service>,
    Json(request): Json<Transfer>,
) -> Result<Json<[Account; 2]>, WalletError> {
    let conn = &mut service.connection().await?;
    // A transaction by itself does not help: another one may read the balances before it commits.
    conn.transaction(async |conn| {
        let mut from = Account::load(request.from, conn).await?;
        let mut to = Account::load(request.to, conn).await?;
        from.debit(request.amount)?;
        to.credit(request.amount);
        // In the order of their ids. Otherwise the transactions would deadlock as well.
        let mut changed = [&from, &to];
        changed.sort_by_key(|account| account.id);
        for account in changed {
            account.save(conn).await?;
        }
        Ok(Json([from, to]))
    })
    .await
}

pub(super) async fn withdraw(
    State(service): State<Service>,
    Path(id): Path<i64>,
    Json(request): Json<Withdrawal>,
) -> Result<Json<Account>, WalletError> {
    let conn = &mut service.connection().await?;
    let mut account = Account::load(id, conn).await?;
    account.debit(request.amount)?;
    account.save(conn).await?;
    dispense(request.amount, service.cash_time).await;
    Ok(Json(account))
}
