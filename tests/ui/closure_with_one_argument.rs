use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

fn nightly(conn: &mut MysqlConnection) -> Result<(), LockError> {
    LockName::named("nightly").lock().run(conn, |conn| Ok(()))
}

fn main() {}
