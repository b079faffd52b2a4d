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

fn send(
    notification: &mut Notification,
    locks: &mut LockPool<MysqlConnection>,
) -> Result<(), LockError> {
    notification.lock().transaction(locks, |_, _| Ok(()))
}

fn main() {}
