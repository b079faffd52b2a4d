use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

fn read_prices(conn: &mut MysqlConnection) -> Result<(), LockError> {
    LockName::named("prices").lock().shared().run(conn, |_, _| Ok(()))
}

fn main() {}
