use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Identifiable, Queryable, Selectable)]
struct Notification {
    id: i32,
    message: String,
}

type MysqlPool = Pool<ConnectionManager<MysqlConnection>>;

fn send(notification: &mut Notification, mut pool: MysqlPool) -> Result<(), LockError> {
    notification.with_lock(&mut pool, |_, _| Ok(()))
}

fn main() {}
