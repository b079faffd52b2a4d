//! Pools of deadpool.

use std::time::Duration;

use diesel_advisory_lock::__core::{Deadline, PoolError};
#[cfg(feature = "mysql")]
use diesel_async::AsyncMysqlConnection;
#[cfg(feature = "postgres")]
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool};

use super::connection_pool::{ConnectionPool, Pooled, PooledObject, until};

macro_rules! pool_of {
    ($connection:ty) => {
        impl ConnectionPool for Pool<$connection> {
            type Connection = $connection;
            type Pooled = Pooled<Object<$connection>>;

            async fn check_out(&self, deadline: &Deadline) -> Result<Self::Pooled, PoolError> {
                let mut timeouts = self.timeouts();
                let mut limit = deadline.instant();
                if deadline.is_without_wait() {
                    timeouts.wait = Some(Duration::ZERO);
                    limit = None;
                }
                until(limit, self.timeout_get(&timeouts))
                    .await
                    .map(Pooled::new)
            }

            fn has_idle(&self) -> bool {
                self.status().available > 0
            }
        }

        impl PooledObject for Object<$connection> {
            fn discard(self) {
                // When it is returned, the pool keeps a broken connection until it needs one.
                drop(Object::take(self));
            }
        }
    };
}

#[cfg(feature = "mysql")]
pool_of!(AsyncMysqlConnection);
#[cfg(feature = "postgres")]
pool_of!(AsyncPgConnection);
