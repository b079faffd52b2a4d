use diesel_advisory_lock::prelude::*;

#[derive(Lockable)]
#[lock(no_wait)]
struct Command {
    notification_id: i32,
}

fn main() {
    let _ = Command { notification_id: 42 }.notification_id;
}
