//! An account, and the requests that change it under its lock.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use diesel::prelude::*;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};

use super::Connection;
use super::errors::WalletError;
use super::service::{Begun, Service};

diesel::table! {
    #[sql_name = "axum_wallet_example_accounts"]
    accounts (id) {
        id -> BigInt,
        balance -> BigInt,
    }
}

#[derive(
    Debug, Deserialize, Serialize, Insertable, Queryable, Selectable, Identifiable, AsChangeset,
)]
#[diesel(table_name = accounts)]
pub(super) struct Account {
    pub(super) id: i64,
    balance: i64,
}

impl Account {
    /// An account to lock. Only its id matters: the other fields are loaded under the lock.
    fn with_id(id: i64) -> Account {
        Account { id, balance: 0 }
    }

    pub(super) async fn load(id: i64, conn: &mut Connection) -> QueryResult<Account> {
        let account = accounts::table.find(id).select(Account::as_select());
        account.first(conn).await
    }

    pub(super) async fn save(&self, conn: &mut Connection) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn).await
    }

    /// Takes money out. It must be saved before another request loads the account.
    pub(super) fn debit(&mut self, amount: NonZero<u32>) -> Result<(), WalletError> {
        let amount = amount.get().into();
        if self.balance < amount {
            return Err(WalletError::InsufficientFunds(self.balance));
        }
        self.balance -= amount;
        Ok(())
    }

    /// Puts money in. It must be saved before another request loads the account.
    pub(super) fn credit(&mut self, amount: NonZero<u32>) {
        self.balance += i64::from(amount.get());
    }
}

#[derive(Deserialize)]
pub(super) struct Transfer {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) amount: NonZero<u32>,
}

/// `POST /transfers`. It only changes the database, and in one transaction. So the future may be
/// dropped at any time, as axum does if the client disconnects: the transaction is rolled back.
pub(super) async fn transfer(
    State(service): State<Service>,
    Json(Transfer { from, to, amount }): Json<Transfer>,
) -> Result<Json<[Account; 2]>, WalletError> {
    if from == to {
        // As two models they would overwrite each other.
        return Err(WalletError::SameAccount);
    }
    let (mut from, mut to) = (Account::with_id(from), Account::with_id(to));
    // Sorts the locks, so that two transfers in opposite directions do not deadlock.
    let locks = lock_all((&mut from, &mut to)).timeout(service.lock_timeout);
    let begun = Begun::default();
    let transfer = service.locks.transaction(locks, async |(from, to), conn| {
        begun.set();
        from.debit(amount)?;
        to.credit(amount);
        from.save(conn).await?;
        to.save(conn).await?;
        Ok::<_, WalletError>(())
    });
    begun.or_stop(&service.shutdown, transfer).await?;
    Ok(Json([from, to]))
}

#[derive(Deserialize)]
pub(super) struct Withdrawal {
    pub(super) amount: NonZero<u32>,
}

/// `POST /accounts/{id}/withdrawals`. No transaction can take cash back. So the work runs in a task
/// of its own, which a client that disconnects does not cut in the middle.
pub(super) async fn withdraw(
    State(service): State<Service>,
    Path(id): Path<i64>,
    Json(Withdrawal { amount }): Json<Withdrawal>,
) -> Result<Json<Account>, WalletError> {
    let tasks = service.tasks.clone();
    // Is canceled by a shutdown, and if this future is dropped.
    let stop = service.shutdown.child_token();
    let _stop_on_drop = stop.clone().drop_guard();
    let task = tasks.spawn(async move {
        let mut account = Account::with_id(id);
        let lock = account.lock().timeout(service.lock_timeout);
        let begun = Begun::default();
        let withdrawal = service.locks.run(lock, async |account, conn| {
            begun.set();
            account.debit(amount)?;
            account.save(conn).await?;
            dispense(amount, service.cash_time).await;
            Ok::<_, WalletError>(())
        });
        begun.or_stop(&stop, withdrawal).await?;
        Ok(Json(account))
    });
    task.await
        .unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
}

/// Stands for the cash machine.
pub(super) async fn dispense(amount: NonZero<u32>, time: Duration) {
    tokio::time::sleep(time).await;
    metrics::counter!("wallet_dispensed_total").increment(amount.get().into());
}

/// `POST /accounts`. Nothing to lock: the database lets only one request insert the row.
pub(super) async fn create(
    State(service): State<Service>,
    Json(account): Json<Account>,
) -> Result<(StatusCode, Json<Account>), WalletError> {
    let insert = diesel::insert_into(accounts::table).values(&account);
    insert.execute(&mut service.connection().await?).await?;
    Ok((StatusCode::CREATED, Json(account)))
}

/// `GET /accounts/{id}`
pub(super) async fn show(
    State(service): State<Service>,
    Path(id): Path<i64>,
) -> Result<Json<Account>, WalletError> {
    let conn = &mut service.connection().await?;
    let account = Account::load(id, conn).await?;
    Ok(Json(account))
}
