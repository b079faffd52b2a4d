//! The competitors whose calls are async. A thread of the load runs its task on a runtime of its
//! own.

mod by_hand;
mod for_update;
#[cfg(not(feature = "postgres"))]
mod mysql_async;
mod ours;
#[cfg(feature = "postgres")]
mod tokio_postgres;

use anyhow::Result;
use diesel_async::AsyncConnection;
use tokio::runtime::{Builder, Runtime};

use super::Competitors;
#[cfg(feature = "postgres")]
use super::postgres::SqlxLock;
use crate::database::{AsyncConn, Endpoint};
use ours::Call;

/// The first is the async client without Diesel.
pub(crate) fn in_tasks(at: Endpoint<'_>) -> Competitors<'_> {
    let mut competitors: Competitors<'_> = vec![
        #[cfg(not(feature = "postgres"))]
        Box::new(mysql_async::Client(at)),
        #[cfg(feature = "postgres")]
        Box::new(tokio_postgres::Client(at)),
        Box::new(by_hand::ByHand(at)),
        #[cfg(feature = "postgres")]
        Box::new(SqlxLock(at)),
        Box::new(for_update::ForUpdate(at)),
    ];
    for call in [Call::Run, Call::WithLock, Call::Transaction] {
        competitors.push(Box::new(ours::Plain { at, call }));
    }
    competitors.push(Box::new(ours::Pooled(at)));
    competitors
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn connect(runtime: &Runtime, at: Endpoint<'_>) -> Result<AsyncConn> {
    let url = at.async_url()?;
    Ok(runtime.block_on(AsyncConn::establish(&url))?)
}
