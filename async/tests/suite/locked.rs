//! `#[locked]` on what only this crate has: futures that are dropped, tasks, and deadpool.

use std::panic::AssertUnwindSafe;

use diesel::prelude::*;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, deadpool};
use futures_util::FutureExt;
use server_test::server_test;

use super::cancellation::cut_everywhere;
use super::support::Db;
use crate::server::Conn;
use account::Account;

mod account;

#[server_test]
fn no_increment_in_a_locked_method_is_lost(db: &Db) {
    db.run(async {
        let account = Account::of(db).await;
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (mut copy, mut conn) = (account.clone(), db.conn().await);
            tasks.push(tokio::spawn(async move {
                for _ in 0..10 {
                    copy.add_slowly(&mut conn).await.unwrap();
                    copy.add(&mut conn, 1).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(db.value(1).await, 160);
    });
}

#[server_test]
fn nested_call_reloads_other_copies_and_other_scopes(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let conn = &mut db.conn().await;
        assert_eq!(account.change_and_read_others(conn).await, Ok([10, 0]));
        assert_eq!(account.change_and_peek_scoped(conn).await, Ok(0));
        // After the call, the unsaved change is no longer kept.
        assert_eq!(account.value, 10);
        assert_eq!(account.add(conn, 1).await, Ok(1));
    });
}

#[server_test]
fn method_calls_itself(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let mut conn = db.conn().await;
        let task = tokio::spawn(async move {
            let value = account.add_times(&mut conn, 3).await?;
            let addresses = account.depth(&mut conn, 2).await?;
            let caller = std::ptr::from_ref(&account).addr();
            assert!(!addresses.contains(&caller), "a copy");
            assert_eq!(addresses, [addresses[0]; 3], "the copy is in use");
            QueryResult::Ok(value)
        });
        assert_eq!(task.await.unwrap(), Ok(3));
        assert_eq!(db.value(1).await, 3);
    });
}

#[server_test]
fn error_before_the_body_leaves_the_session_usable(db: &Db) {
    db.run(async {
        let mut missing = Account { id: 9, value: 0 };
        let conn = &mut db.conn().await;
        let errors = [
            missing.add(conn, 1).await.unwrap_err(),
            missing.peek(conn).await.unwrap_err(),
            missing.add_or_fail(conn, false).await.unwrap_err(),
            missing.overwrite(conn, false).await.unwrap_err(),
        ];
        for error in errors {
            let error = LockError::in_diesel(&error);
            assert!(
                matches!(error, Some(LockError::RowNotFound { .. })),
                "{error:?}"
            );
        }
        db.assert_free(&missing.lock_name()).await;
        let mut account = Account::of(db).await;
        assert_eq!(account.add(conn, 1).await, Ok(1));
    });
}

#[server_test]
fn method_takes_an_object_of_deadpool(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
        let pool = deadpool::Pool::builder(manager).max_size(1);
        let conn = &mut pool.build().unwrap().get().await.unwrap();
        assert_eq!(account.of_deadpool(conn).await, Ok(1));
        assert_eq!(account.add(conn, 1).await, Ok(2), "coerced");
        assert_eq!(account.of_any(conn).await, Ok(3));
        db.assert_free(&account.lock_name()).await;
    });
}

#[server_test]
fn method_returns_an_unnamed_type(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let digits = account.digits(&mut db.conn().await).await.unwrap();
        assert_eq!(digits.collect::<String>(), "12");
    });
}

/// The futures of locked methods, and of closures that call them, are `Send`.
#[server_test]
fn locked_methods_run_in_tasks_and_in_closures_under_the_lock(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let mut conn = db.conn().await;
        let task = tokio::spawn(async move {
            account.add_slowly(&mut conn).await?;
            account.peek(&mut conn).await?;
            account.value_mut(&mut conn).await?;
            account.generic(&mut conn).await?;
            account.with_lock(&mut conn, Account::add_slowly).await?;
            account
                .with_lock(&mut conn, Account::change_and_add)
                .await?;
            account
                .with_lock(&mut conn, async |account, conn| account.add(conn, 1).await)
                .await
        });
        assert_eq!(task.await.unwrap(), Ok(16));
    });
}

#[server_test]
fn locked_method_that_is_cut_at_any_poll_leaves_nothing_locked(db: &Db) {
    db.run(async {
        let account = Account::of(db).await;
        let name = account.lock_name();
        let many = 200;
        cut_everywhere(db, &name, many, async |conn| {
            account.clone().add(conn, 1).await.unwrap();
        })
        .await;
        cut_everywhere(db, &name, many, async |conn| {
            account.peek(conn).await.unwrap();
        })
        .await;
        cut_everywhere(db, &name, many, async |conn| {
            account.clone().add_or_fail(conn, false).await.unwrap();
        })
        .await;
        cut_everywhere(db, &name, many, async |conn| {
            account.overwrite(conn, false).await.unwrap();
        })
        .await;
        cut_everywhere(db, &name, many, async |conn| {
            account.clone().add_times(conn, 2).await.unwrap();
        })
        .await;
    });
}

#[server_test]
fn locked_method_that_panics_leaves_nothing_locked(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let name = account.lock_name();
        // The connection is not dropped.
        let conn = &mut db.conn().await;
        let panics = async |_: &mut Conn| std::panic::resume_unwind(Box::new("on purpose"));
        let ran = AssertUnwindSafe(account.run(conn, panics)).catch_unwind();
        ran.await.unwrap_err();
        db.wait_until_free(&name).await;
    });
}

#[server_test]
fn wait_of_a_locked_method_that_is_cut_leaves_no_session_that_waits(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let name = account.lock_name();
        let mut holder = db.conn().await;
        let held = name.lock().acquire(&mut holder).await.unwrap();
        let mut conn = db.conn().await;
        tokio::select! {
            _ = account.add(&mut conn, 1) => panic!("it is held"),
            () = db.wait_until_sessions_wait(1) => {}
        }
        db.wait_until_sessions_wait(0).await;
        held.release().await.unwrap();
        db.assert_free(&name).await;
        assert_eq!(db.value(1).await, 0);
    });
}
