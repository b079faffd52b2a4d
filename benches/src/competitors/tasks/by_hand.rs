use anyhow::{Result, ensure};
use diesel_async::RunQueryDsl;

use super::{connect, runtime};
use crate::competitors::{Competitor, Load, Outcome};
use crate::database::{AsyncConn, Endpoint};

#[cfg(not(feature = "postgres"))]
use crate::database::full_name as lock_id;
#[cfg(feature = "postgres")]
use crate::database::lock_key as lock_id;

/// The two functions through diesel-async, prepared once: a lower bound for anything that uses it.
pub(crate) struct ByHand<'a>(pub(crate) Endpoint<'a>);

impl Competitor for ByHand<'_> {
    fn name(&self) -> String {
        "diesel-async by hand, prepared once".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let ids = load.names(lock_id);
        load.in_threads(load.threads, |thread| {
            let runtime = runtime()?;
            let conn = &mut connect(&runtime, self.0)?;
            thread.repeat(|name, recorder| {
                let id = &ids[name];
                runtime.block_on(async {
                    recorder.requested();
                    ensure!(lock(conn, id).await?, "not locked");
                    recorder.acquired();
                    ensure!(unlock(conn, id).await?, "not released");
                    Ok(())
                })
            })
        })
    }
}

#[cfg(not(feature = "postgres"))]
mod functions {
    use diesel::sql_types::{Integer, Text};

    #[diesel::declare_sql_function]
    extern "SQL" {
        fn get_lock(name: Text, seconds: Integer) -> Nullable<BigInt>;
        fn release_lock(name: Text) -> Nullable<BigInt>;
    }
}

#[cfg(not(feature = "postgres"))]
async fn lock(conn: &mut AsyncConn, name: &str) -> Result<bool> {
    let select = diesel::select(functions::get_lock(name, 45));
    Ok(select.get_result::<Option<i64>>(conn).await? == Some(1))
}

#[cfg(not(feature = "postgres"))]
async fn unlock(conn: &mut AsyncConn, name: &str) -> Result<bool> {
    let select = diesel::select(functions::release_lock(name));
    Ok(select.get_result::<Option<i64>>(conn).await? == Some(1))
}

#[cfg(feature = "postgres")]
mod functions {
    use diesel::sql_types::BigInt;

    #[diesel::declare_sql_function]
    extern "SQL" {
        /// The server returns void, which reads as an empty text.
        fn pg_advisory_lock(key: BigInt) -> Text;
        fn pg_advisory_unlock(key: BigInt) -> Bool;
    }
}

#[cfg(feature = "postgres")]
async fn lock(conn: &mut AsyncConn, key: &i64) -> Result<bool> {
    let select = diesel::select(functions::pg_advisory_lock(*key));
    Ok(select.get_result::<String>(conn).await?.is_empty())
}

#[cfg(feature = "postgres")]
async fn unlock(conn: &mut AsyncConn, key: &i64) -> Result<bool> {
    let select = diesel::select(functions::pg_advisory_unlock(*key));
    Ok(select.get_result(conn).await?)
}
