use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

fn nightly(conn: &mut MysqlConnection) -> Result<(), LockError> {
    let held = LockName::named("nightly").lock().acquire(conn)?;
    diesel::sql_query("SELECT 1").execute(conn).unwrap();
    held.release()
}

fn main() {}
