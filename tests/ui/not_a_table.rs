use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Identifiable)]
struct Notification {
    id: i32,
}

fn of(notification: Notification) -> LockName {
    LockName::row(notification, 42)
}

fn main() {}
