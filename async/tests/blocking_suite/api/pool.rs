//! The pools of the suite: bb8.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, bb8};
use futures_util::FutureExt;

use crate::server::Conn;

pub(crate) type Pool = bb8::Pool<Conn>;
pub(crate) type Locks = diesel_advisory_lock::LockPool<Pool>;
pub(crate) type PooledConnection = bb8::PooledConnection<'static, Conn>;

/// How many connections a pool has discarded and taken back.
#[derive(Default)]
pub(crate) struct Events(Option<Pool>);

impl Events {
    fn pool(&self) -> &Pool {
        self.0.as_ref().expect("there is a pool")
    }

    pub(crate) fn discarded(&self) -> usize {
        let counts = self.pool().state().statistics;
        let discarded = counts.connections_closed_broken + counts.connections_closed_invalid;
        usize::try_from(discarded).unwrap()
    }

    pub(crate) fn returned(&self) -> usize {
        let pool = self.pool().state();
        let checked_out = pool.statistics.get_direct + pool.statistics.get_waited;
        let in_use = pool.connections - pool.idle_connections;
        usize::try_from(checked_out).unwrap() - in_use as usize - self.discarded()
    }
}

/// Makes a pool that calls `prepare` with each connection that it opens.
pub(crate) async fn build(
    url: &str,
    size: u32,
    prepare: impl Fn(&mut Conn) + Send + Sync + 'static,
) -> (Pool, Arc<Events>) {
    let prepare = Arc::new(prepare);
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |url| {
        let prepare = Arc::clone(&prepare);
        async move {
            let mut conn = Conn::establish(url).await?;
            prepare(&mut conn);
            Ok(conn)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    let pool = Pool::builder().max_size(size).test_on_check_out(false);
    let pool = pool.build(manager).await.unwrap();
    (pool.clone(), Arc::new(Events(Some(pool))))
}

/// A pool of one connection that has not opened it.
pub(crate) fn empty(url: &str) -> Pool {
    let pool = Pool::builder().max_size(1);
    pool.build_unchecked(AsyncDieselConnectionManager::new(url))
}

/// A pool whose callers wait for 0.2 seconds. It has no connection yet.
pub(crate) fn impatient(url: &str, size: u32) -> Pool {
    let pool = Pool::builder().max_size(size);
    pool.connection_timeout(Duration::from_millis(200))
        .build_unchecked(AsyncDieselConnectionManager::new(url))
}

pub(crate) async fn checked_out(pool: &Pool) -> PooledConnection {
    pool.get_owned().await.unwrap()
}

/// Checks out a connection that is idle, or that the pool may open.
pub(crate) async fn checked_out_at_once(pool: &Pool) -> PooledConnection {
    let connections = pool.state();
    assert!(connections.idle_connections > 0 || connections.connections < pool.config().max_size);
    checked_out(pool).await
}
