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

struct AppError;

fn send(notification: &mut Notification, conn: &mut MysqlConnection) -> Result<(), AppError> {
    notification.with_lock(conn, |_, _| Ok(()))
}

fn nightly(conn: &mut MysqlConnection) -> Result<(), AppError> {
    LockName::named("nightly").lock().run(conn, |_, _| Ok(()))
}

fn main() {}
