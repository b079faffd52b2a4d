//! The pools of the suite: bb8. This crate does not have `LockPool` yet, and [`Locks`] stands for
//! it.

use std::sync::Arc;

use diesel_async::AsyncConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, bb8};
use futures_util::FutureExt;

use super::Body;
use crate::server::Conn;
use crate::suite::support::Form;

pub(crate) type Pool = bb8::Pool<Conn>;
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

pub(crate) enum Locks {}

pub(crate) struct State {
    pub(crate) names: usize,
    pub(crate) waiting: usize,
}

impl Locks {
    pub(crate) fn new(_: Pool) -> Self {
        panic!("see `HAS_LOCK_POOL`")
    }

    pub(crate) fn pool(&self) -> &Pool {
        match *self {}
    }

    pub(crate) fn state(&self) -> State {
        match *self {}
    }
}

impl Form {
    pub(crate) async fn call_through<T, E>(
        self,
        locks: &Locks,
        _: &mut T,
        _: impl Body<T, E>,
    ) -> Result<(), E> {
        match *locks {}
    }
}
