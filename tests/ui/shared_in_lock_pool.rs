use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

fn read_prices(locks: &LockPool<MysqlConnection>) -> Result<(), LockError> {
    let prices = LockName::named("prices");
    locks.run(prices.lock().shared(), |_, _| Ok(()))
}

fn main() {}
