//! `#[locked]` at run time.

use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Db, assert_times_out, counters};
use crate::api::{Connection, RunQueryDsl, pool, thread};
use crate::server::{idle_timeout, set_idle_timeout};
use account::{Account, Adding, mails};

#[path = "locked/account.rs"]
mod account;

#[both]
async fn set(db: &Db, value: i64) {
    diesel::update(counters::table.find(1))
        .set(counters::value.eq(value))
        .execute(&mut db.conn().await)
        .await
        .unwrap();
}

#[server_test(serial)]
async fn method_called_by_sixteen_threads_sends_one_mail(db: &Db) {
    let account = &Account::of(db).await;
    let before = mails();
    let sent: usize = thread::scope(async |scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let mut copy = account.clone();
                scope.spawn(async move || copy.send(&mut db.conn().await).await.unwrap())
            })
            .collect();
        let mut sent = 0;
        for thread in threads {
            sent += usize::from(thread.join().await.unwrap());
        }
        sent
    })
    .await;
    assert_eq!((sent, mails() - before), (1, 1));
}

#[server_test]
async fn mutable_self_is_reloaded(db: &Db) {
    let mut account = Account::of(db).await;
    set(db, 7).await;
    assert_eq!(account.add(&mut db.conn().await, 1).await.unwrap(), 8);
    assert_eq!((account.value, db.value(1).await), (8, 8));
    db.assert_free(&account.lock_name()).await;
}

#[server_test]
async fn shared_self_is_reloaded_into_a_copy(db: &Db) {
    let account = Account::of(db).await;
    set(db, 7).await;
    assert_eq!(account.peek(&mut db.conn().await).await.unwrap(), 7);
    assert_eq!(account.value, 0, "the caller's model is unchanged");
    db.assert_free(&account.lock_name()).await;
}

#[server_test]
async fn nested_call_keeps_unsaved_changes(db: &Db) {
    assert_eq!(
        Account::of(db)
            .await
            .change_and_add(&mut db.conn().await)
            .await
            .unwrap(),
        15
    );
    assert_eq!(db.value(1).await, 15);
}

#[server_test]
async fn nested_call_on_a_shared_self_sees_unsaved_changes(db: &Db) {
    assert_eq!(
        Account::of(db)
            .await
            .change_and_peek(&mut db.conn().await)
            .await
            .unwrap(),
        10
    );
}

#[server_test]
async fn lock_is_held_while_the_method_runs(db: &Db) {
    let held = Account::of(db)
        .await
        .held_without_scope(&mut db.conn().await, db)
        .await
        .unwrap();
    assert_eq!(held, [true, false, false]);
}

#[server_test]
async fn scope_option_defaults_to_the_methods_name(db: &Db) {
    let mut account = Account::of(db).await;
    assert_eq!(
        account
            .held_by_own_scope(&mut db.conn().await, db)
            .await
            .unwrap(),
        [false, true, false]
    );
    assert_eq!(
        account
            .held_by_other_scope(&mut db.conn().await, db)
            .await
            .unwrap(),
        [false, false, true]
    );
}

#[server_test]
async fn lock_is_released_on_return_and_question_mark(db: &Db) {
    let mut account = Account::of(db).await;
    let conn = &mut db.conn().await;
    assert!(account.send(conn).await.unwrap());
    assert!(!account.send(conn).await.unwrap(), "an early return");
    db.assert_free(&account.lock_name()).await;
    db.execute("ALTER TABLE counters DROP COLUMN value").await;
    account.add(conn, 1).await.unwrap_err();
    db.assert_free(&account.lock_name()).await;
}

#[server_test]
async fn transaction_of_a_method_commits_or_rolls_back(db: &Db) {
    let mut account = Account::of(db).await;
    let conn = &mut db.conn().await;
    account.add_or_fail(conn, false).await.unwrap();
    assert_eq!(db.value(1).await, 1);
    let failed = account.add_or_fail(conn, true).await;
    assert_eq!(failed, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!(db.value(1).await, 1);
    db.assert_free(&account.lock_name()).await;
    // Inside an open transaction, the call is refused like `.transaction`.
    let refused = conn
        .transaction(async |conn| account.add_or_fail(conn, false).await)
        .await
        .unwrap_err();
    assert!(matches!(
        LockError::in_diesel(&refused),
        Some(LockError::OpenTransaction { .. })
    ));
}

#[server_test]
async fn transaction_on_a_copy_commits_or_rolls_back(db: &Db) {
    let account = Account::of(db).await;
    set(db, 7).await;
    let conn = &mut db.conn().await;
    account.overwrite(conn, false).await.unwrap();
    assert_eq!(db.value(1).await, 8);
    account.overwrite(conn, true).await.unwrap_err();
    assert_eq!(db.value(1).await, 8);
    db.assert_free(&account.lock_name()).await;
}

#[server_test(serial)]
async fn timeout_option_sets_the_timeout_of_the_method(db: &Db) {
    let mut account = Account::of(db).await;
    let name = account.lock_name();
    let conn = &mut db.conn().await;
    assert_times_out(db, &name, Duration::from_millis(250), async || {
        account.with_timeout(conn).await
    })
    .await;
    assert_times_out(db, &name, Duration::ZERO, async || {
        account.without_wait(conn).await
    })
    .await;
    account.waiting_forever(conn).await.unwrap();
}

#[server_test]
async fn keep_alive_option_raises_the_idle_timeout_during_the_method(db: &Db) {
    let conn = &mut db.conn().await;
    let usual = Duration::from_secs(100);
    set_idle_timeout(conn, usual).await;
    let seen = Account::of(db).await.with_keep_alive(conn).await.unwrap();
    assert_eq!(seen, Duration::from_secs(10 * 24 * 60 * 60));
    assert_eq!(idle_timeout(conn).await, usual);
}

#[server_test]
async fn method_takes_a_pooled_connection(db: &Db) {
    let mut account = Account::of(db).await;
    let (pool, _) = db.pool(1).await;
    let mut conn = pool::checked_out(&pool).await;
    assert_eq!(account.pooled(&mut conn).await.unwrap(), 1);
    assert_eq!(
        account.add(&mut conn, 1).await.unwrap(),
        2,
        "coerced to a plain connection"
    );
    db.assert_free(&account.lock_name()).await;
}

#[server_test]
async fn method_takes_a_guard(db: &Db) {
    let mut account = Account::of(db).await;
    let outer = LockName::named("outer");
    let conn = &mut db.conn().await;
    let mut held = outer.lock().acquire(conn).await.unwrap();
    assert_eq!(account.in_guard(&mut held).await.unwrap(), 1);
    assert!(db.holder(&outer).await.is_some());
    held.release().await.unwrap();
}

#[server_test]
async fn method_takes_a_generic_connection(db: &Db) {
    let mut account = Account::of(db).await;
    let (pool, _) = db.pool(1).await;
    assert_eq!(
        account
            .generic(&mut pool.get().await.unwrap())
            .await
            .unwrap(),
        1
    );
    assert_eq!(account.generic(&mut db.conn().await).await.unwrap(), 2);
    assert_eq!(account.generic_copy(&mut db.conn().await).await.unwrap(), 2);
}

#[server_test]
async fn method_takes_moved_borrowed_and_destructured_arguments(db: &Db) {
    let mut account = Account::of(db).await;
    let conn = &mut db.conn().await;
    let mut borrowed = vec![0];
    let back = account
        .arguments::<i32, 9>(vec![1], conn, (2, 3), &mut borrowed, |n| n * 10)
        .await
        .unwrap();
    back.push(-1);
    assert_eq!(borrowed, [0, 1, 2, 30, 0, 9, -1]);
    let copied = account
        .arguments_on_a_copy::<i32>(vec![4], (5, 6), conn)
        .await
        .unwrap();
    assert_eq!(copied, [4, 5, 6, 0, 1]);
}

#[server_test]
async fn method_returns_a_borrow_of_self(db: &Db) {
    let mut account = Account::of(db).await;
    set(db, 3).await;
    *account.value_mut(&mut db.conn().await).await.unwrap() += 1;
    assert_eq!(account.value, 4);
}

#[server_test]
async fn method_of_a_trait_impl_is_locked(db: &Db) {
    assert_eq!(
        Account::of(db)
            .await
            .add_two(&mut db.conn().await)
            .await
            .unwrap(),
        2
    );
    assert_eq!(db.value(1).await, 2);
}
