//! Generic code asks for a policy that the model does not have.

use diesel::prelude::*;
use diesel_advisory_lock::HasLockPolicy;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
    }
}

#[derive(Identifiable)]
struct Notification {
    id: i32,
}

fn by_policy<T: Lockable + HasLockPolicy>(model: &mut T) {
    let _ = model.lock().policy(T::LOCK_POLICY);
}

fn main() {
    by_policy(&mut Notification { id: 1 });
}
