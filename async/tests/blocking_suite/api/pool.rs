//! The pools of the suite: bb8.

use std::sync::Arc;

use diesel_async::AsyncConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, bb8};
use futures_util::FutureExt;

use crate::server::Conn;

pub(crate) type Pool = bb8::Pool<Conn>;
pub(crate) type Locks = diesel_advisory_lock::LockPool<Pool>;
pub(crate) type PooledConnection = bb8::PooledConnection<'static, Conn>;

/// What happens to the connections of a pool, which bb8 does not report.
#[derive(Debug, Default)]
pub(crate) struct Events;

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
    (pool.build(manager).await.unwrap(), Arc::default())
}

pub(crate) async fn checked_out(pool: &Pool) -> PooledConnection {
    pool.get_owned().await.unwrap()
}
