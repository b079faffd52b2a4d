//! MySQL and MariaDB by diesel-async.

use diesel::QueryResult;
use diesel_advisory_lock_async::LockSource;

use crate::async_worker::Operation;
use crate::async_worker::op::Op;
use crate::model::Target;
use crate::worker::Done;

pub(crate) type Conn = diesel_async::AsyncMysqlConnection;

/// The operations that only these servers have.
pub(crate) static OPERATIONS: &[Operation] = &[];

/// The client would go on over the server's Unix socket, without the proxy.
pub(crate) fn url(url: &str) -> String {
    format!("{url}?prefer_socket=false")
}

/// Whether the session still holds the lock after [`unlock_sql`](super::unlock_sql).
pub(crate) async fn still_holds(_conn: &mut Conn, _target: Target) -> QueryResult<bool> {
    Ok(false)
}

pub(crate) async fn run<S: LockSource<Connection = Conn>>(op: &Op, _conn: &mut S) -> Done {
    unreachable!("no operation is called {}", op.operation)
}
