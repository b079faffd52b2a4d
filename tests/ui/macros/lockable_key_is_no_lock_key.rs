#![allow(unused)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

struct NotificationId(i32);

#[derive(Lockable)]
#[lock(table = notifications, key(notification_id))]
struct Retract {
    notification_id: NotificationId,
}

fn main() {}
