//! `#[locked]` at work.

use std::sync::atomic::Ordering;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::support::{Case, Db, counters, times_out, wait_timeout};
use account::{Account, Adding, MAILS};

mod account;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(sixteen_threads_send_one_mail).alone(),
        case!(a_mutable_self_is_read_again),
        case!(a_shared_self_becomes_a_fresh_copy),
        case!(a_nested_call_keeps_unsaved_changes),
        case!(a_nested_call_on_a_shared_self_sees_them),
        case!(the_lock_is_held_while_the_body_runs),
        case!(the_lock_ends_with_return_and_question_mark),
        case!(a_transaction_commits_or_rolls_back),
        case!(a_transaction_on_a_copy_too),
        case!(a_scope_is_the_methods_or_its_own),
        case!(a_wait_is_the_methods_own).alone(),
        case!(a_long_hold_is_the_methods_own),
        case!(a_pooled_connection_stays_what_it_is),
        case!(a_guard_is_a_connection_too),
        case!(a_generic_connection_will_do),
        case!(arguments_are_moved_borrowed_and_taken_apart),
        case!(a_borrow_of_self_may_be_returned),
        case!(a_method_of_a_trait_may_be_locked),
    ]
}

fn set(db: &Db, value: i64) {
    diesel::update(counters::table.find(1))
        .set(counters::value.eq(value))
        .execute(&mut db.conn())
        .unwrap();
}

fn sixteen_threads_send_one_mail(db: &Db) {
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

fn a_mutable_self_is_read_again(db: &Db) {
    let mut account = Account::of(db);
    set(db, 7);
    assert_eq!(account.add(&mut db.conn(), 1).unwrap(), 8);
    assert_eq!((account.value, db.value(1)), (8, 8));
    db.assert_free(&account.lock_name());
}

fn a_shared_self_becomes_a_fresh_copy(db: &Db) {
    let account = Account::of(db);
    set(db, 7);
    assert_eq!(account.peek(&mut db.conn()).unwrap(), 7);
    assert_eq!(account.value, 0, "the caller's own is untouched");
    db.assert_free(&account.lock_name());
}

fn a_nested_call_keeps_unsaved_changes(db: &Db) {
    assert_eq!(Account::of(db).change_and_add(&mut db.conn()).unwrap(), 15);
    assert_eq!(db.value(1), 15);
}

fn a_nested_call_on_a_shared_self_sees_them(db: &Db) {
    assert_eq!(Account::of(db).change_and_peek(&mut db.conn()).unwrap(), 10);
}

fn the_lock_is_held_while_the_body_runs(db: &Db) {
    let held = Account::of(db).held_plainly(&mut db.conn(), db).unwrap();
    assert_eq!(held, [true, false, false]);
}

fn a_scope_is_the_methods_or_its_own(db: &Db) {
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

fn the_lock_ends_with_return_and_question_mark(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    assert!(account.send(conn).unwrap());
    assert!(!account.send(conn).unwrap(), "an early return");
    db.assert_free(&account.lock_name());
    db.execute(&format!(
        "ALTER TABLE {}.counters DROP COLUMN value",
        db.schema
    ));
    account.add(conn, 1).unwrap_err();
    db.assert_free(&account.lock_name());
}

fn a_transaction_commits_or_rolls_back(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    account.add_or_fail(conn, false).unwrap();
    assert_eq!(db.value(1), 1);
    let failed = account.add_or_fail(conn, true);
    assert_eq!(failed, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!(db.value(1), 1);
    db.assert_free(&account.lock_name());
    // In an open transaction it is refused, as by hand.
    let refused = conn
        .transaction(|conn| account.add_or_fail(conn, false))
        .unwrap_err();
    assert!(matches!(
        LockError::in_diesel(&refused),
        Some(LockError::OpenTransaction { .. })
    ));
}

fn a_transaction_on_a_copy_too(db: &Db) {
    let account = Account::of(db);
    set(db, 7);
    let conn = &mut db.conn();
    account.overwrite(conn, false).unwrap();
    assert_eq!(db.value(1), 8);
    account.overwrite(conn, true).unwrap_err();
    assert_eq!(db.value(1), 8);
    db.assert_free(&account.lock_name());
}

fn a_wait_is_the_methods_own(db: &Db) {
    let mut account = Account::of(db);
    let name = account.lock_name();
    let conn = &mut db.conn();
    times_out(db, &name, Duration::from_millis(250), || {
        account.patient(conn)
    });
    times_out(db, &name, Duration::ZERO, || account.impatient(conn));
    account.persistent(conn).unwrap();
}

fn a_long_hold_is_the_methods_own(db: &Db) {
    let conn = &mut db.conn();
    let usual = wait_timeout(conn);
    let seen = Account::of(db).busy_elsewhere(conn).unwrap();
    assert_eq!(seen, 10 * 24 * 60 * 60);
    assert_eq!(wait_timeout(conn), usual);
}

fn a_pooled_connection_stays_what_it_is(db: &Db) {
    let mut account = Account::of(db);
    let (pool, _) = db.pool(1);
    let mut conn = pool.get().unwrap();
    assert_eq!(account.pooled(&mut conn).unwrap(), 1);
    assert_eq!(
        account.add(&mut conn, 1).unwrap(),
        2,
        "coerced to the plain one"
    );
    db.assert_free(&account.lock_name());
}

fn a_guard_is_a_connection_too(db: &Db) {
    let mut account = Account::of(db);
    let outer = LockName::named("outer");
    let conn = &mut db.conn();
    let mut held = outer.lock().acquire(conn).unwrap();
    assert_eq!(account.in_guard(&mut held).unwrap(), 1);
    assert!(db.holder(&outer).is_some());
    held.release().unwrap();
}

fn a_generic_connection_will_do(db: &Db) {
    let mut account = Account::of(db);
    let (pool, _) = db.pool(1);
    assert_eq!(account.generic(&mut pool.get().unwrap()).unwrap(), 1);
    assert_eq!(account.generic(&mut db.conn()).unwrap(), 2);
    assert_eq!(account.generic_copy(&mut db.conn()).unwrap(), 2);
}

fn arguments_are_moved_borrowed_and_taken_apart(db: &Db) {
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

fn a_borrow_of_self_may_be_returned(db: &Db) {
    let mut account = Account::of(db);
    set(db, 3);
    *account.value_mut(&mut db.conn()).unwrap() += 1;
    assert_eq!(account.value, 4);
}

fn a_method_of_a_trait_may_be_locked(db: &Db) {
    assert_eq!(Account::of(db).add_two(&mut db.conn()).unwrap(), 2);
    assert_eq!(db.value(1), 2);
}
