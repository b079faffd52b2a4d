//! Every form of the derives, in a crate that allows no warning.
#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]
#![warn(clippy::pedantic)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{HasLockPolicy, LockPolicy, Reload};

#[allow(missing_docs)]
mod schema {
    diesel::table! {
        notifications (id) {
            id -> Integer,
            message -> Text,
            sent -> Bool,
        }
    }

    diesel::table! {
        memberships (team, region) {
            team -> BigInt,
            region -> Text,
        }
    }
}

use schema::{memberships, notifications};

#[derive(Identifiable, Queryable, Selectable, Lockable)]
#[diesel(table_name = notifications)]
#[lock(timeout = "1m 30s")]
pub(crate) struct Timed {
    id: i32,
}

#[derive(Identifiable, Queryable, Selectable, Lockable)]
#[diesel(table_name = notifications)]
#[lock(no_wait)]
struct Impatient {
    id: i32,
}

#[derive(Identifiable, Queryable, Selectable, Lockable)]
#[diesel(table_name = notifications)]
#[lock(wait_forever, keep_alive = "2h")]
struct Patient {
    id: i32,
}

/// Has the default policy.
#[derive(Identifiable, Queryable, Selectable, Lockable)]
#[diesel(table_name = notifications)]
pub struct Plain {
    id: i32,
}

/// Stands for a membership.
#[derive(Lockable)]
#[lock(table = memberships, key(team, region), timeout = "2s")]
#[lock(crate = diesel_advisory_lock)]
pub struct Join<'a, T: LockKey> {
    team: TeamId<T>,
    region: &'a Region,
    /// Not part of the key.
    pub note: String,
}

/// A generic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, LockKey)]
pub struct TeamId<T>(T);

/// An id with a named field.
#[derive(LockKey)]
pub struct UserId {
    number: i64,
}

/// A key with few values.
#[derive(LockKey)]
pub enum Region {
    /// Renamed.
    #[lock(rename = "eu")]
    Europe,
    /// As it is.
    Asia,
}

/// Has a policy without the derive.
#[derive(Identifiable, Queryable, Selectable)]
#[diesel(table_name = notifications)]
pub struct ByHand {
    id: i32,
}

impl HasLockPolicy for ByHand {
    const LOCK_POLICY: LockPolicy = LockPolicy::new().no_wait();
}

impl ByHand {
    #[locked]
    fn in_place(&mut self, _conn: &mut MysqlConnection) -> QueryResult<i32> {
        Ok(self.id)
    }

    #[locked]
    fn on_a_copy(&self, _conn: &mut MysqlConnection) -> QueryResult<i32> {
        Ok(self.id)
    }
}

/// Generic code.
fn by_policy<T>(model: &mut T, conn: &mut MysqlConnection) -> QueryResult<()>
where
    T: Lockable + HasLockPolicy + Reload<MysqlConnection>,
{
    model.lock().policy(T::LOCK_POLICY).run(conn, |_, _| Ok(()))
}

/// A type by the name of the constant parameters below.
pub struct M;

/// Stands for a notification, and has a constant parameter.
#[derive(Lockable)]
#[lock(table = notifications, key(id))]
pub struct Batch<'a, T, const M: usize> {
    id: NotificationId<{ M }>,
    rest: &'a [T; M],
}

/// An id with a constant parameter.
#[derive(LockKey)]
pub struct NotificationId<const M: usize>(i32);

/// A key with few values, and a constant parameter.
#[derive(LockKey)]
pub enum Part<const M: usize> {
    /// The first of them.
    First,
}

fn callers(conn: &mut MysqlConnection) -> QueryResult<()> {
    Timed { id: 1 }.with_lock(conn, |_, _| Ok::<_, LockError>(()))?;
    Impatient { id: 1 }.try_with_lock(conn, |_, _| Ok::<_, LockError>(()))?;
    Patient { id: 1 }.with_lock(conn, |_, _| Ok::<_, LockError>(()))?;
    let _ = Plain { id: 1 }.lock().policy(Plain::LOCK_POLICY);
    let join = Join {
        team: TeamId(7_i64),
        region: &Region::Asia,
        note: String::new(),
    };
    join.lock().run(conn, |_, _| Ok::<_, LockError>(()))?;
    drop((Region::Europe, join.lock_name()));
    by_policy(&mut Plain { id: 1 }, conn)?;
    by_policy(&mut ByHand { id: 1 }, conn)?;
    ByHand { id: 1 }.in_place(conn)?;
    ByHand { id: 1 }.on_a_copy(conn)?;
    let batch = Batch {
        id: NotificationId(1),
        rest: &[M, M],
    };
    batch.lock().run(conn, |_, _| Ok::<_, LockError>(()))?;
    drop((Batch::<M, 2>::LOCK_POLICY, batch.rest, Part::<2>::First));
    let id = UserId { number: 1 };
    drop(LockName::row_unchecked(notifications::table, id));
    Ok(())
}

fn main() {
    let _ = callers;
}
