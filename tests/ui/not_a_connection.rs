use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

fn nightly(url: &mut String) -> Result<(), LockError> {
    LockName::named("nightly").lock().run(url, |_, _| Ok(()))
}

fn main() {}
