//! `#[locked]` at run time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Db, assert_times_out, counters};
use crate::server::{idle_timeout, set_idle_timeout};
use account::{Account, Adding, MAILS};

mod account;

fn set(db: &Db, value: i64) {
    diesel::update(counters::table.find(1))
        .set(counters::value.eq(value))
        .execute(&mut db.conn())
        .unwrap();
}

#[server_test(serial)]
fn method_called_by_sixteen_threads_sends_one_mail(db: &Db) {
    let account = Account::of(db);
    let before = MAILS.load(Ordering::SeqCst);
    let sent: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let mut copy = account.clone();
                scope.spawn(move || copy.send(&mut db.conn()).unwrap())
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap()))
            .sum()
    });
    assert_eq!((sent, MAILS.load(Ordering::SeqCst) - before), (1, 1));
}

#[server_test]
fn mutable_self_is_reloaded(db: &Db) {
    let mut account = Account::of(db);
    set(db, 7);
    assert_eq!(account.add(&mut db.conn(), 1).unwrap(), 8);
    assert_eq!((account.value, db.value(1)), (8, 8));
    db.assert_free(&account.lock_name());
}

#[server_test]
fn shared_self_is_reloaded_into_a_copy(db: &Db) {
    let account = Account::of(db);
    set(db, 7);
    assert_eq!(account.peek(&mut db.conn()).unwrap(), 7);
    assert_eq!(account.value, 0, "the caller's model is unchanged");
    db.assert_free(&account.lock_name());
}

#[server_test]
fn nested_call_keeps_unsaved_changes(db: &Db) {
    assert_eq!(Account::of(db).change_and_add(&mut db.conn()).unwrap(), 15);
    assert_eq!(db.value(1), 15);
}

#[server_test]
fn nested_call_on_a_shared_self_sees_unsaved_changes(db: &Db) {
    assert_eq!(Account::of(db).change_and_peek(&mut db.conn()).unwrap(), 10);
}

#[server_test]
fn lock_is_held_while_the_method_runs(db: &Db) {
    let held = Account::of(db)
        .held_without_scope(&mut db.conn(), db)
        .unwrap();
    assert_eq!(held, [true, false, false]);
}

#[server_test]
fn scope_option_defaults_to_the_methods_name(db: &Db) {
    let mut account = Account::of(db);
    assert_eq!(
        account.held_by_own_scope(&mut db.conn(), db).unwrap(),
        [false, true, false]
    );
    assert_eq!(
        account.held_by_other_scope(&mut db.conn(), db).unwrap(),
        [false, false, true]
    );
}

#[server_test]
fn lock_is_released_on_return_and_question_mark(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    assert!(account.send(conn).unwrap());
    assert!(!account.send(conn).unwrap(), "an early return");
    db.assert_free(&account.lock_name());
    db.execute("ALTER TABLE counters DROP COLUMN value");
    account.add(conn, 1).unwrap_err();
    db.assert_free(&account.lock_name());
}

#[server_test]
fn transaction_of_a_method_commits_or_rolls_back(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    account.add_or_fail(conn, false).unwrap();
    assert_eq!(db.value(1), 1);
    let failed = account.add_or_fail(conn, true);
    assert_eq!(failed, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!(db.value(1), 1);
    db.assert_free(&account.lock_name());
    // Inside an open transaction, the call is refused like `.transaction`.
    let refused = conn
        .transaction(|conn| account.add_or_fail(conn, false))
        .unwrap_err();
    assert!(matches!(
        LockError::in_diesel(&refused),
        Some(LockError::OpenTransaction { .. })
    ));
}

#[server_test]
fn transaction_on_a_copy_commits_or_rolls_back(db: &Db) {
    let account = Account::of(db);
    set(db, 7);
    let conn = &mut db.conn();
    account.overwrite(conn, false).unwrap();
    assert_eq!(db.value(1), 8);
    account.overwrite(conn, true).unwrap_err();
    assert_eq!(db.value(1), 8);
    db.assert_free(&account.lock_name());
}

#[server_test(serial)]
fn timeout_option_sets_the_timeout_of_the_method(db: &Db) {
    let mut account = Account::of(db);
    let name = account.lock_name();
    let conn = &mut db.conn();
    assert_times_out(db, &name, Duration::from_millis(250), || {
        account.with_timeout(conn)
    });
    assert_times_out(db, &name, Duration::ZERO, || account.without_wait(conn));
    account.waiting_forever(conn).unwrap();
}

#[server_test]
fn keep_alive_option_raises_the_idle_timeout_during_the_method(db: &Db) {
    let conn = &mut db.conn();
    let usual = Duration::from_secs(100);
    set_idle_timeout(conn, usual);
    let seen = Account::of(db).with_keep_alive(conn).unwrap();
    assert_eq!(seen, Duration::from_secs(10 * 24 * 60 * 60));
    assert_eq!(idle_timeout(conn), usual);
}

#[server_test]
fn method_takes_a_pooled_connection(db: &Db) {
    let mut account = Account::of(db);
    let (pool, _) = db.pool(1);
    let mut conn = pool.get().unwrap();
    assert_eq!(account.pooled(&mut conn).unwrap(), 1);
    assert_eq!(
        account.add(&mut conn, 1).unwrap(),
        2,
        "coerced to a plain connection"
    );
    db.assert_free(&account.lock_name());
}

#[server_test]
fn method_takes_a_guard(db: &Db) {
    let mut account = Account::of(db);
    let outer = LockName::named("outer");
    let conn = &mut db.conn();
    let mut held = outer.lock().acquire(conn).unwrap();
    assert_eq!(account.in_guard(&mut held).unwrap(), 1);
    assert!(db.holder(&outer).is_some());
    held.release().unwrap();
}

#[server_test]
fn method_takes_a_generic_connection(db: &Db) {
    let mut account = Account::of(db);
    let (pool, _) = db.pool(1);
    assert_eq!(account.generic(&mut pool.get().unwrap()).unwrap(), 1);
    assert_eq!(account.generic(&mut db.conn()).unwrap(), 2);
    assert_eq!(account.generic_copy(&mut db.conn()).unwrap(), 2);
}

#[server_test]
fn method_takes_moved_borrowed_and_destructured_arguments(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    let mut borrowed = vec![0];
    let back = account
        .arguments::<i32, 9>(vec![1], conn, (2, 3), &mut borrowed, |n| n * 10)
        .unwrap();
    back.push(-1);
    assert_eq!(borrowed, [0, 1, 2, 30, 0, 9, -1]);
    let copied = account
        .arguments_on_a_copy::<i32>(vec![4], (5, 6), conn)
        .unwrap();
    assert_eq!(copied, [4, 5, 6, 0, 1]);
}

#[server_test]
fn method_returns_a_borrow_of_self(db: &Db) {
    let mut account = Account::of(db);
    set(db, 3);
    *account.value_mut(&mut db.conn()).unwrap() += 1;
    assert_eq!(account.value, 4);
}

#[server_test]
fn method_of_a_trait_impl_is_locked(db: &Db) {
    assert_eq!(Account::of(db).add_two(&mut db.conn()).unwrap(), 2);
    assert_eq!(db.value(1), 2);
}
