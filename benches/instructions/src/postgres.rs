//! Work on PostgreSQL.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, RunQueryDsl};
use diesel_advisory_lock::prelude::*;
use raw_client::postgres::Session;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// `run` on a name, with an empty closure
    Run,
    /// The same on the name of a row
    RunRow,
    /// `transaction` under a name, with an empty closure
    Transaction,
    /// The same under the name of a row
    TransactionRow,
    /// BEGIN and COMMIT, by Diesel
    EmptyTransaction,
    /// The two functions through `diesel::select`, prepared once
    DieselSelect,
    /// The two functions through the C client, prepared once
    RawClient,
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn pg_try_advisory_lock(key: BigInt) -> Bool;
    fn pg_advisory_unlock(key: BigInt) -> Bool;
}

diesel::table! {
    accounts (id) {
        id -> BigInt,
    }
}

impl Work {
    pub(crate) fn run(self, url: &str, times: u64) -> Result<()> {
        let conn = &mut PgConnection::establish(url)?;
        let name = match self {
            Work::RunRow | Work::TransactionRow => {
                conn.batch_execute("CREATE TEMPORARY TABLE accounts (id BIGINT PRIMARY KEY)")?;
                LockName::row(accounts::table, 42_i64)
            }
            _ => LockName::named("nightly-report"),
        };
        let key = LockName::named("nightly-report").postgres_key("");
        match self {
            Work::Run | Work::RunRow => {
                for _ in 0..times {
                    name.lock().run(conn, |_, _| Ok::<_, LockError>(()))?;
                }
            }
            Work::Transaction | Work::TransactionRow => {
                for _ in 0..times {
                    name.lock()
                        .transaction(conn, |_, _| Ok::<_, LockError>(()))?;
                }
            }
            Work::EmptyTransaction => {
                for _ in 0..times {
                    conn.transaction(|_| diesel::QueryResult::Ok(()))?;
                }
            }
            Work::DieselSelect => {
                for _ in 0..times {
                    let got: bool = diesel::select(pg_try_advisory_lock(key)).get_result(conn)?;
                    ensure!(got, "not locked");
                    let gone: bool = diesel::select(pg_advisory_unlock(key)).get_result(conn)?;
                    ensure!(gone, "not released");
                }
            }
            Work::RawClient => {
                let session = Session::connect(url)?;
                session.prepare(c"get", c"SELECT pg_try_advisory_lock($1)")?;
                session.prepare(c"release", c"SELECT pg_advisory_unlock($1)")?;
                for _ in 0..times {
                    ensure!(session.ask(c"get", key)?, "not locked");
                    ensure!(session.ask(c"release", key)?, "not released");
                }
            }
        }
        Ok(())
    }
}
