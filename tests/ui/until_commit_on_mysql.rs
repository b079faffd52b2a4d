use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    accounts (id) {
        id -> Integer,
        balance -> BigInt,
    }
}

#[derive(Identifiable, Queryable, Selectable)]
struct Account {
    id: i32,
    balance: i64,
}

fn withdraw(account: &mut Account, conn: &mut MysqlConnection) -> Result<(), LockError> {
    account.lock().until_commit(conn)
}

fn main() {}
