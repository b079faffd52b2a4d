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

fn send(notification: &mut Notification, conn: MysqlConnection) -> Result<(), LockError> {
    LockPool::new(conn).run(notification.lock(), |_, _| Ok(()))
}

fn main() {}
