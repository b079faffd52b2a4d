//! Pools of bb8.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use diesel_advisory_lock::__core::{Deadline, PoolError};
#[cfg(feature = "mysql")]
use diesel_async::AsyncMysqlConnection;
#[cfg(feature = "postgres")]
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};

use tokio::runtime::Handle;

use super::connection_pool::{ConnectionPool, Pooled, PooledObject, until};

/// How long a call that does not wait gives the pool to check an idle connection, which another
/// request may take first.
const CHECK: Duration = Duration::from_secs(1);

/// Lets the runtime complete `get` if this future is dropped. Else bb8 would hand out a connection
/// whose check was cut, and to which the server's answer is still to come.
async fn completed<F>(get: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut get = Completing {
        future: Some(Box::pin(get)),
        runtime: Handle::current(),
    };
    poll_fn(|context| {
        let future = get.future.as_mut().expect("polled after it was ready");
        let connection = ready!(future.as_mut().poll(context));
        get.future = None;
        Poll::Ready(connection)
    })
    .await
}

struct Completing<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    runtime: Handle,
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Completing<F> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.runtime.spawn(future);
        }
    }
}

macro_rules! pool_of {
    ($connection:ty) => {
        impl ConnectionPool for Pool<$connection> {
            type Connection = $connection;
            type Pooled = Pooled<PooledConnection<'static, $connection>>;

            async fn check_out(&self, deadline: &Deadline) -> Result<Self::Pooled, PoolError> {
                let mut limit = deadline.instant();
                if deadline.is_without_wait() {
                    limit = if self.state().connections < self.config().max_size {
                        None
                    } else if self.has_idle() {
                        Instant::now().checked_add(CHECK)
                    } else {
                        return Err("all connections of the pool are in use".into());
                    };
                }
                // When a connection is returned, bb8 wakes the request that has waited longest. Until
                // that request is polled, any other may take the connection. So let it go first.
                tokio::task::yield_now().await;
                let pool = self.clone();
                let connection = completed(async move { pool.get_owned().await });
                until(limit, connection).await.map(Pooled::new)
            }

            fn has_idle(&self) -> bool {
                self.state().idle_connections > 0
            }
        }

        impl PooledObject for PooledConnection<'static, $connection> {
            fn discard(self) {
                // The pool discards a broken connection when it is returned.
                drop(self);
            }
        }
    };
}

#[cfg(feature = "mysql")]
pool_of!(AsyncMysqlConnection);
#[cfg(feature = "postgres")]
pool_of!(AsyncPgConnection);
