//! Repeats a piece of work, for valgrind to count its instructions.

#[cfg(feature = "postgres")]
mod postgres;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use diesel::sql_types::{Integer, Text};
use diesel::{Connection, MysqlConnection, RunQueryDsl};
use diesel_advisory_lock::prelude::*;
use instructions::Part;
use raw_client::{Address, Session};

#[derive(Parser)]
struct Options {
    #[arg(long)]
    times: u64,

    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// A part that needs no server
    Part { part: Part },
    /// `run` on a name, with an empty closure
    Run { url: String },
    /// The two functions through `diesel::select`, prepared once
    DieselSelect { url: String },
    /// The two functions through the C client, prepared once
    RawClient { port: u16, schema: String },
    /// Work on PostgreSQL
    #[cfg(feature = "postgres")]
    Postgres { work: postgres::Work, url: String },
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn get_lock(name: Text, seconds: Integer) -> Nullable<BigInt>;
    fn release_lock(name: Text) -> Nullable<BigInt>;
}

fn main() -> Result<()> {
    let Options { times, work } = Options::parse();
    match work {
        Work::Part { part } => {
            let work = part.work();
            (0..times).for_each(|_| work());
        }
        Work::Run { url } => {
            let mut conn = MysqlConnection::establish(&url)?;
            let name = LockName::named("nightly-report");
            for _ in 0..times {
                name.lock().run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
            }
        }
        Work::DieselSelect { url } => {
            let mut conn = MysqlConnection::establish(&url)?;
            let name = LockName::named("nightly-report").full_name("");
            for _ in 0..times {
                let got: Option<i64> = diesel::select(get_lock(&name, 45)).get_result(&mut conn)?;
                ensure!(got == Some(1), "not locked");
                let gone: Option<i64> =
                    diesel::select(release_lock(&name)).get_result(&mut conn)?;
                ensure!(gone == Some(1), "not released");
            }
        }
        Work::RawClient { port, schema } => {
            let name = LockName::named("nightly-report").full_name(&schema);
            let session = Session::connect(Address::Tcp(port), &schema)?;
            let mut get = session.prepare("SELECT GET_LOCK(?, 45)")?;
            let mut release = session.prepare("SELECT RELEASE_LOCK(?)")?;
            for _ in 0..times {
                ensure!(get.ask(&name)? == Some(1), "not locked");
                ensure!(release.ask(&name)? == Some(1), "not released");
            }
        }
        #[cfg(feature = "postgres")]
        Work::Postgres { work, url } => work.run(&url, times)?,
    }
    Ok(())
}
