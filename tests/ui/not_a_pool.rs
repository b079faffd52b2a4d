use diesel::prelude::*;
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

fn send(notification: &mut Notification, conn: &mut MysqlConnection) -> Result<(), LockError> {
    notification.with_lock_from(conn, |_, _| Ok(()))
}

fn main() {}
