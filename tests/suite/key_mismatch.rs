//! A key that finds a row with another lock is refused with `KeyMismatch`.

use std::fmt::Debug;
use std::thread;

use diesel::prelude::*;
use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Db, LockedMethods, Path, locked_methods};
use crate::server;

diesel::table! {
    users (name) {
        name -> Text,
        logins -> BigInt,
    }
}

diesel::table! {
    accounts (id) {
        id -> BigInt,
        owner_id -> BigInt,
    }
}

diesel::table! {
    memberships (group_id, user_id) {
        group_id -> BigInt,
        user_id -> BigInt,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable)]
#[diesel(table_name = users, primary_key(name))]
pub(crate) struct User {
    name: String,
    logins: i64,
}

/// A model with another key column than the table.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable)]
#[diesel(table_name = accounts, primary_key(owner_id))]
struct AccountByOwner {
    #[diesel(column_name = id)]
    number: i64,
    owner_id: i64,
}

/// A model with the table's key columns in reverse order.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable)]
#[diesel(table_name = memberships, primary_key(user_id, group_id))]
struct Membership {
    group_id: i64,
    user_id: i64,
}

locked_methods!(User, AccountByOwner, Membership);

pub(crate) fn create_users(db: &Db) {
    db.execute(server::CREATE_USERS);
    db.execute("INSERT INTO users VALUES ('Alice', 0)");
}

pub(crate) fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        logins: -1,
    }
}

#[track_caller]
pub(crate) fn assert_refused<T>(db: &Db, model: &T, lock_of_the_row: &LockName)
where
    T: LockedMethods + PartialEq + Debug,
{
    for path in Path::all().filter(|path| path.form.reloads()) {
        let mut client = path.client(db);
        let mut given = model.clone();
        let run = client.run(&mut given, |_, _| panic!("{path:?} ran"));
        let error = run.unwrap_err();
        let LockError::KeyMismatch { name, row, .. } = &error else {
            panic!("{path:?}: {error:?}");
        };
        assert_eq!((name, &**row), (&model.lock_name(), lock_of_the_row));
        assert_eq!(error.outcome(), Outcome::NothingHappened);
        let message = error.to_string();
        assert!(message.contains(&name.to_string()), "{message}");
        assert!(message.contains(&row.to_string()), "{message}");
        assert_eq!(given, *model, "{path:?} has changed the model");
        db.assert_free(name);
        // The connection is still usable.
        client.with(|conn| {
            let held = lock_of_the_row.lock().acquire(conn).unwrap();
            held.release().unwrap();
        });
    }
}

#[server_test]
fn key_in_another_case_is_refused_on_every_path(db: &Db) {
    create_users(db);
    assert_refused(db, &user("alice"), &user("Alice").lock_name());
}

#[server_test]
fn primary_key_of_another_column_is_refused_on_every_path(db: &Db) {
    db.execute(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner_id BIGINT NOT NULL);
         INSERT INTO accounts VALUES (1, 2), (2, 3)",
    );
    let model = AccountByOwner {
        number: 1,
        owner_id: 2,
    };
    assert_refused(db, &model, &LockName::row(accounts::table, 3));
}

#[server_test]
fn composite_key_in_another_order_is_refused_on_every_path(db: &Db) {
    db.execute(
        "CREATE TABLE memberships
             (group_id BIGINT, user_id BIGINT, PRIMARY KEY (group_id, user_id));
         INSERT INTO memberships VALUES (1, 2), (2, 1)",
    );
    let model = Membership {
        group_id: 1,
        user_id: 2,
    };
    assert_refused(db, &model, &LockName::row(memberships::table, (1, 2)));
}

/// The control: the other cases refuse the spelling, not the table.
#[server_test]
fn key_as_stored_is_locked_on_every_path(db: &Db) {
    create_users(db);
    for path in Path::all() {
        path.run_once(db, &mut user("Alice"), |_, _| Ok(()))
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
    }
}

#[server_test]
fn mismatch_under_a_scope_names_the_scoped_lock(db: &Db) {
    create_users(db);
    let (mut model, stored) = (user("alice"), user("Alice").lock_name());
    let scoped = model.lock_name().scope("send");
    let run = model.lock().scope("send").acquire(&mut db.conn()).map(drop);
    let Err(LockError::KeyMismatch { name, row, .. }) = run else {
        panic!("{run:?}");
    };
    assert_eq!((name, *row), (scoped, stored));
    let mut model = user("Alice");
    let locked = model.lock().scope("send").namespace("elsewhere");
    locked.acquire(&mut db.conn()).map(drop).unwrap();
}

#[server_test]
fn two_spellings_of_one_key_lose_no_update(db: &Db) {
    const TIMES: i64 = 100;
    create_users(db);
    let done: Vec<i64> = thread::scope(|scope| {
        let threads = ["Alice", "alice"].map(|name| {
            scope.spawn(move || {
                let conn = &mut db.conn();
                let log_in = |_| {
                    let run = user(name).with_lock(conn, |user, conn| {
                        diesel::update(users::table.find(&user.name))
                            .set(users::logins.eq(user.logins + 1))
                            .execute(conn)
                            .unwrap();
                        Ok(())
                    });
                    match run {
                        Ok(()) => 1,
                        Err(LockError::KeyMismatch { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    }
                };
                (0..TIMES).map(log_in).sum::<i64>()
            })
        });
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(done, [TIMES, 0]);
    let logins: i64 = users::table
        .select(users::logins)
        .first(&mut db.conn())
        .unwrap();
    assert_eq!(logins, TIMES);
}
