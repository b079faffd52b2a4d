use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NotificationId(i32);

#[derive(Identifiable)]
struct Notification {
    id: NotificationId,
}

fn loaded(notification: &Notification) -> LockName {
    notification.lock_name()
}

fn by_key(id: NotificationId) -> LockName {
    LockName::row(notifications::table, id)
}

fn main() {}
