//! `#[locked]` at run time.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock_async::Outcome;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use server_test::server_test;

use super::cancellation::cut_everywhere;
use super::support::{Db, assert_times_out, counters};
use crate::server::{self, Conn};
use account::{Account, Adding};

mod account;

async fn set(db: &Db, value: i64) {
    let set = diesel::update(counters::table.find(1)).set(counters::value.eq(value));
    set.execute(&mut db.conn().await).await.unwrap();
}

#[server_test]
fn method_called_by_sixteen_tasks_sends_one_mail(db: &Db) {
    db.run(async {
        let account = Account::of(db).await;
        let mut tasks = Vec::new();
        for _ in 0..16 {
            let (mut copy, mut conn) = (account.clone(), db.conn().await);
            tasks.push(tokio::spawn(async move { copy.send(&mut conn).await }));
        }
        let mut sent = 0;
        for task in tasks {
            sent += usize::from(task.await.unwrap().unwrap());
        }
        assert_eq!(sent, 1);
    });
}

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
fn mutable_self_is_reloaded(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        set(db, 7).await;
        assert_eq!(account.add(&mut db.conn().await, 1).await, Ok(8));
        assert_eq!((account.value, db.value(1).await), (8, 8));
        db.assert_free(&account.lock_name()).await;
    });
}

#[server_test]
fn shared_self_is_reloaded_into_a_copy(db: &Db) {
    db.run(async {
        let account = Account::of(db).await;
        set(db, 7).await;
        assert_eq!(account.peek(&mut db.conn().await).await, Ok(7));
        assert_eq!(account.value, 0, "the caller's model is unchanged");
        db.assert_free(&account.lock_name()).await;
    });
}

#[server_test]
fn nested_call_keeps_unsaved_changes(db: &Db) {
    db.run(async {
        let conn = &mut db.conn().await;
        assert_eq!(Account::of(db).await.change_and_add(conn).await, Ok(15));
        assert_eq!(db.value(1).await, 15);
    });
}

#[server_test]
fn nested_call_on_a_shared_self_sees_unsaved_changes(db: &Db) {
    db.run(async {
        let conn = &mut db.conn().await;
        assert_eq!(Account::of(db).await.change_and_peek(conn).await, Ok(10));
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
fn lock_is_held_while_the_method_runs(db: &Db) {
    db.run(async {
        let conn = &mut db.conn().await;
        let held = Account::of(db).await.held_without_scope(conn, db).await;
        assert_eq!(held, Ok([true, false, false]));
    });
}

#[server_test]
fn scope_option_defaults_to_the_methods_name(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let conn = &mut db.conn().await;
        let held = account.held_by_own_scope(conn, db).await;
        assert_eq!(held, Ok([false, true, false]));
        let held = account.held_by_other_scope(conn, db).await;
        assert_eq!(held, Ok([false, false, true]));
    });
}

#[server_test]
fn lock_is_released_on_return_and_question_mark(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let conn = &mut db.conn().await;
        let session = server::session_id(conn).await;
        assert_eq!(account.send(conn).await, Ok(true));
        assert_eq!(account.send(conn).await, Ok(false), "an early return");
        db.assert_free(&account.lock_name()).await;
        let failed = account.add_or_fail(conn, true).await;
        failed.unwrap_err();
        db.assert_free(&account.lock_name()).await;
        assert_eq!(server::session_id(conn).await, session, "it lives on");
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
fn transaction_of_a_method_commits_or_rolls_back(db: &Db) {
    db.run(async {
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
    });
}

#[server_test]
fn transaction_on_a_copy_commits_or_rolls_back(db: &Db) {
    db.run(async {
        let account = Account::of(db).await;
        set(db, 7).await;
        let conn = &mut db.conn().await;
        account.overwrite(conn, false).await.unwrap();
        assert_eq!(db.value(1).await, 8);
        account.overwrite(conn, true).await.unwrap_err();
        assert_eq!(db.value(1).await, 8);
        db.assert_free(&account.lock_name()).await;
    });
}

#[server_test]
fn lock_lost_in_the_transaction_of_a_method_is_rolled_back(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let conn = &mut db.conn().await;
        conn.batch_execute(server::LOCK_BEFORE_BEGIN).await.unwrap();
        let ran = account.add_and(conn, async |conn| {
            conn.batch_execute(server::RELEASE_ALL).await.unwrap();
        });
        let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
        assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
        assert_eq!(error.outcome(), Outcome::RolledBack);
        assert_eq!(db.value(1).await, 0);
        db.wait_until_free(&account.lock_name()).await;
    });
}

#[server_test]
fn session_lost_in_a_method_is_reported(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let conn = &mut db.conn().await;
        let ran = account.run(conn, async |conn| {
            let session = server::session_id(conn).await;
            server::kill_session(&mut db.conn().await, session).await;
        });
        let error = LockError::try_from(ran.await.unwrap_err()).unwrap();
        assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
    });
}

#[server_test]
fn guard_leaked_in_a_method_ends_the_session(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let name = account.lock_name();
        let conn = &mut db.conn().await;
        let session = server::session_id(conn).await;
        let ran = account.run(conn, async |conn| {
            std::mem::forget(name.lock().acquire(conn).await.unwrap());
        });
        assert_eq!(ran.await, Ok(()));
        db.wait_until_free(&name).await;
        assert!(!server::has_session(&mut db.conn().await, session).await);
    });
}

#[server_test]
fn timeout_option_sets_the_timeout_of_the_method(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let name = account.lock_name();
        let conn = &mut db.conn().await;
        let timeout = Duration::from_millis(250);
        assert_times_out(db, &name, timeout, async || {
            account.with_timeout(conn).await
        })
        .await;
        let now = Duration::ZERO;
        assert_times_out(db, &name, now, async || account.without_wait(conn).await).await;
        account.waiting_forever(conn).await.unwrap();
    });
}

#[server_test]
fn keep_alive_option_raises_the_idle_timeout_during_the_method(db: &Db) {
    db.run(async {
        let conn = &mut db.conn().await;
        let usual = 100;
        server::set_idle_timeout(conn, usual).await;
        let seen = Account::of(db).await.with_keep_alive(conn).await;
        assert_eq!(seen, Ok(10 * 24 * 60 * 60));
        assert_eq!(server::idle_timeout(conn).await, usual);
    });
}

#[server_test]
fn method_takes_a_pooled_connection(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let manager = || AsyncDieselConnectionManager::<Conn>::new(db.url());
        let pool = deadpool::Pool::builder(manager())
            .max_size(1)
            .build()
            .unwrap();
        let mut conn = pool.get().await.unwrap();
        assert_eq!(account.of_deadpool(&mut conn).await, Ok(1));
        assert_eq!(account.add(&mut conn, 1).await, Ok(2), "coerced");
        let pool = bb8::Pool::builder().max_size(1).build(manager());
        let pool = pool.await.unwrap();
        let mut conn = pool.get().await.unwrap();
        assert_eq!(account.of_bb8(&mut conn).await, Ok(3));
        db.assert_free(&account.lock_name()).await;
    });
}

#[server_test]
fn method_takes_a_guard(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let outer = LockName::named("outer");
        let conn = &mut db.conn().await;
        let mut held = outer.lock().acquire(conn).await.unwrap();
        set(db, 3).await;
        assert_eq!(account.in_guard(&mut held).await, Ok(4));
        assert!(db.holder(&outer).await.is_some());
        held.release().await.unwrap();
    });
}

#[server_test]
fn method_takes_a_generic_connection(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
        let pool = deadpool::Pool::builder(manager)
            .max_size(1)
            .build()
            .unwrap();
        assert_eq!(account.generic(&mut pool.get().await.unwrap()).await, Ok(1));
        let conn = &mut db.conn().await;
        assert_eq!(account.generic(conn).await, Ok(2));
        assert_eq!(account.generic_copy(conn).await, Ok(2));
        assert_eq!(account.of_any(conn).await, Ok(3));
    });
}

#[server_test]
fn method_takes_moved_borrowed_and_destructured_arguments(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let conn = &mut db.conn().await;
        let mut borrowed = vec![0];
        let back = account
            .arguments::<i32, 9>(vec![1], conn, (2, 3), &mut borrowed, |n| n * 10)
            .await
            .unwrap();
        back.push(-1);
        assert_eq!(borrowed, [0, 1, 2, 30, 0, 9, -1]);
        set(db, 8).await;
        let copied = account.arguments_on_a_copy::<i32>(vec![4], (5, 6), conn);
        assert_eq!(copied.await.unwrap(), [4, 5, 6, 0, 8]);
    });
}

#[server_test]
fn method_returns_a_borrow_of_self_and_an_unnamed_type(db: &Db) {
    db.run(async {
        let mut account = Account::of(db).await;
        let conn = &mut db.conn().await;
        set(db, 3).await;
        *account.value_mut(conn).await.unwrap() += 1;
        assert_eq!(account.value, 4);
        let digits = account.digits(conn).await.unwrap();
        assert_eq!(digits.collect::<String>(), "12");
    });
}

#[server_test]
fn method_of_a_trait_impl_is_locked(db: &Db) {
    db.run(async {
        let conn = &mut db.conn().await;
        assert_eq!(Account::of(db).await.add_two(conn).await, Ok(2));
        assert_eq!(db.value(1).await, 2);
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
