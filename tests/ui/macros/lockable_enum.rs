#![allow(unused)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Lockable)]
enum Notification {
    Mail,
    Letter,
}

fn caller(notification: &Notification) -> LockName {
    notification.lock_name()
}

fn main() {}
