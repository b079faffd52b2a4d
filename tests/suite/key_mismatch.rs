//! A key that finds a row with another lock is refused with `KeyMismatch`.

use std::fmt::Debug;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;

use diesel::prelude::*;
use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Db, LockedMethods, Path, locked_methods};
use crate::api::{RunQueryDsl, concurrently};
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

#[both]
pub(crate) async fn create_users(db: &Db) {
    db.execute(server::CREATE_USERS).await;
    db.execute("INSERT INTO users VALUES ('Alice', 0)").await;
}

pub(crate) fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        logins: -1,
    }
}

#[both]
pub(crate) async fn assert_refused<T>(db: &Db, model: &T, lock_of_the_row: &LockName)
where
    T: LockedMethods + PartialEq + Debug,
{
    for path in Path::all().filter(|path| path.form.reloads()) {
        let mut client = path.client(db).await;
        let mut given = model.clone();
        let run = client
            .run(&mut given, async |_, _| panic!("{path:?} ran"))
            .await;
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
        db.assert_free(name).await;
        // The connection is still usable.
        client
            .with(async |conn| {
                let held = lock_of_the_row.lock().acquire(conn).await.unwrap();
                held.release().await.unwrap();
            })
            .await;
    }
}

#[server_test]
async fn key_in_another_case_is_refused_on_every_path(db: &Db) {
    create_users(db).await;
    assert_refused(db, &user("alice"), &user("Alice").lock_name()).await;
}

#[server_test]
async fn primary_key_of_another_column_is_refused_on_every_path(db: &Db) {
    db.execute(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner_id BIGINT NOT NULL);
         INSERT INTO accounts VALUES (1, 2), (2, 3)",
    )
    .await;
    let model = AccountByOwner {
        number: 1,
        owner_id: 2,
    };
    assert_refused(db, &model, &LockName::row(accounts::table, 3)).await;
}

#[server_test]
async fn composite_key_in_another_order_is_refused_on_every_path(db: &Db) {
    db.execute(
        "CREATE TABLE memberships
             (group_id BIGINT, user_id BIGINT, PRIMARY KEY (group_id, user_id));
         INSERT INTO memberships VALUES (1, 2), (2, 1)",
    )
    .await;
    let model = Membership {
        group_id: 1,
        user_id: 2,
    };
    assert_refused(db, &model, &LockName::row(memberships::table, (1, 2))).await;
}

/// The control: the other cases refuse the spelling, not the table.
#[server_test]
async fn key_as_stored_is_locked_on_every_path(db: &Db) {
    create_users(db).await;
    for path in Path::all() {
        path.run_once(db, &mut user("Alice"), async |_, _| Ok(()))
            .await
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
    }
}

#[server_test]
async fn mismatch_under_a_scope_names_the_scoped_lock(db: &Db) {
    create_users(db).await;
    let (mut model, stored) = (user("alice"), user("Alice").lock_name());
    let scoped = model.lock_name().scope("send");
    let run = model
        .lock()
        .scope("send")
        .acquire(&mut db.conn().await)
        .await
        .map(drop);
    let Err(LockError::KeyMismatch { name, row, .. }) = run else {
        panic!("{run:?}");
    };
    assert_eq!((name, *row), (scoped, stored));
    let mut model = user("Alice");
    let locked = model.lock().scope("send").namespace("elsewhere");
    locked
        .acquire(&mut db.conn().await)
        .await
        .map(drop)
        .unwrap();
}

#[both]
async fn log_in(user: &mut User, conn: &mut server::Conn) -> Result<(), LockError> {
    diesel::update(users::table.find(&user.name))
        .set(users::logins.eq(user.logins + 1))
        .execute(conn)
        .await
        .unwrap();
    Ok(())
}

#[server_test]
async fn two_spellings_of_one_key_lose_no_update(db: &Db) {
    const TIMES: i64 = 100;
    create_users(db).await;
    let done = ["Alice", "alice"].map(|name| (name, AtomicI64::new(0)));
    concurrently(2, async |nth| {
        let conn = &mut db.conn().await;
        let (name, done) = &done[nth];
        for _ in 0..TIMES {
            let run = user(name).with_lock(conn, log_in).await;
            match run {
                Ok(()) => drop(done.fetch_add(1, SeqCst)),
                Err(LockError::KeyMismatch { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    assert_eq!(done.map(|(_, done)| done.into_inner()), [TIMES, 0]);
    let logins: i64 = users::table
        .select(users::logins)
        .first(&mut db.conn().await)
        .await
        .unwrap();
    assert_eq!(logins, TIMES);
}
