//! [`Db`]: a database for each case, and what cases ask the server about it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::both;
use test_server::{Proxy, Server};

use super::{Counter, Hook, Wait, counters, second_lock, wait_until};
use crate::api::pool::{self, Events, Locks, Pool};
use crate::api::{
    Connection, DROP_ENDS_SESSION, RunQueryDsl, SimpleConnection, TransactionManager, block_on,
    over_tcp,
};
use crate::server::{self, Conn, ServerKind};

type Manager = <Conn as Connection>::TransactionManager;

pub(crate) struct Db {
    kind: ServerKind,
    pub(crate) schema: String,
    /// Idle connections of [`with_conn!`].
    idle: Mutex<Vec<Conn>>,
}

/// Evaluates `$work` with a connection of a [`Db`] that later calls use again: PostgreSQL takes
/// milliseconds to open one. It is only for work that leaves no trace in the session.
macro_rules! with_conn {
    ($conn:ident = $idle:expr, $work:expr) => {{
        let (db, mut taken) = $idle;
        let $conn = &mut taken;
        let result = $work;
        db.idle.lock().unwrap().push(taken);
        result
    }};
}

#[both]
impl Db {
    /// Creates a database with empty tables.
    pub(crate) async fn create(kind: ServerKind) -> Db {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("dal_test_{}_{next}", std::process::id());
        let idle = Mutex::default();
        let db = Db { kind, schema, idle };
        server::create_database(&mut db.conn_without_schema().await, &db.schema).await;
        Db::execute(
            &db,
            "CREATE TABLE counters (id BIGINT PRIMARY KEY, value BIGINT NOT NULL);
             CREATE TABLE documents (name VARCHAR(700) PRIMARY KEY, body TEXT NOT NULL);",
        )
        .await;
        db
    }

    /// Creates another database on the same server.
    pub(crate) async fn create_other(&self) -> Db {
        Self::create(self.kind).await
    }

    pub(crate) fn kind(&self) -> ServerKind {
        self.kind
    }

    pub(crate) fn url(&self) -> String {
        self.url_of(&self.schema)
    }

    /// The URL of a database on the server under test: a private server, or that of
    /// `DATABASE_URL`.
    fn url_of(&self, schema: &str) -> String {
        match test_server::url_under_test() {
            Some(url) => {
                let (before, after) = url.split_at(url.find("://").map_or(0, |at| at + 3));
                let server = after.split(['/', '?']).next().unwrap_or_default();
                format!("{before}{server}/{schema}")
            }
            None => Server::shared(self.kind).url(schema),
        }
    }

    /// Makes new sessions acquire the lock of a `.transaction` before they begin it, prove before
    /// the COMMIT that they hold it, and release it afterwards, as most servers always do.
    pub(crate) async fn lock_before_begin(&self) {
        with_conn!(
            conn = self.idle_conn().await,
            server::lock_before_begin(conn, &self.schema).await
        );
    }

    pub(crate) async fn conn(&self) -> Conn {
        Conn::establish(&self.url()).await.unwrap()
    }

    /// A connection for [`with_conn!`].
    async fn idle_conn(&self) -> (&Self, Conn) {
        let idle = self.idle.lock().unwrap().pop();
        match idle {
            Some(conn) => (self, conn),
            None => (self, self.conn().await),
        }
    }

    pub(crate) async fn conn_without_schema(&self) -> Conn {
        let url = self.url_of(server::NO_SCHEMA);
        Conn::establish(&url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    pub(crate) async fn pool(&self, size: u32) -> (Pool, Arc<Events>) {
        Self::pool_at(&self.url(), size, |_| {}).await
    }

    /// A pool that calls `prepare` with each connection that it opens.
    pub(crate) async fn pool_at(
        url: &str,
        size: u32,
        prepare: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> (Pool, Arc<Events>) {
        pool::build(url, size, prepare).await
    }

    /// A lock pool over a pool of `size` connections.
    pub(crate) async fn locks(&self, size: u32) -> Locks {
        Locks::new(self.pool(size).await.0)
    }

    /// A proxy in front of the server, and the URL of the database through it.
    pub(crate) fn proxy(&self) -> (Proxy, String) {
        let url = self.url();
        let (account, rest) = url.rsplit_once('@').unwrap();
        let (address, database) = rest.split_once('/').unwrap();
        let mut addresses = match address.contains(':') {
            true => address.to_socket_addrs(),
            false => (address, server::DEFAULT_PORT).to_socket_addrs(),
        }
        .unwrap();
        let proxy = Proxy::start(addresses.find(SocketAddr::is_ipv4).unwrap()).unwrap();
        let url = format!("{account}@127.0.0.1:{}/{database}", proxy.port());
        let url = over_tcp(url);
        (proxy, url)
    }

    /// A lock pool over a pool of one connection, which has the hook.
    pub(crate) async fn hooked_locks(&self, hook: &Hook) -> Locks {
        let hook = hook.clone();
        let (pool, _) = Self::pool_at(&self.url(), 1, move |conn| hook.watch(conn)).await;
        Locks::new(pool)
    }

    /// A lock pool over a pool of `size` connections through a proxy.
    pub(crate) async fn locks_through_proxy(&self, size: u32) -> (Locks, Proxy) {
        let (proxy, url) = self.proxy();
        let (pool, _) = Self::pool_at(&url, size, |_| {}).await;
        (Locks::new(pool), proxy)
    }

    /// Asserts that the queue is empty, all connections are idle, and the locks of every
    /// [`Path`](super::Path) are free.
    pub(crate) async fn assert_idle(&self, locks: &Locks) {
        let state = locks.state();
        assert_eq!((state.names, state.waiting), (0, 0));
        wait_until("all connections are idle", async || {
            let pool = locks.pool().state();
            pool.idle_connections == pool.connections
        })
        .await;
        for name in Self::locks_of_paths() {
            self.assert_free(&name).await;
        }
    }

    fn locks_of_paths() -> [LockName; 2] {
        [Counter { id: 1, value: 0 }.lock_name(), second_lock()]
    }

    pub(crate) async fn execute(&self, sql: &str) {
        with_conn!(conn = self.idle_conn().await, conn.batch_execute(sql).await).unwrap();
    }

    /// Inserts a counter at zero.
    pub(crate) async fn counter(&self, id: i64) -> Counter {
        let counter = Counter { id, value: 0 };
        let insert = diesel::insert_into(counters::table).values(&counter);
        with_conn!(conn = self.idle_conn().await, insert.execute(conn).await).unwrap();
        counter
    }

    /// The stored value of a counter.
    pub(crate) async fn value(&self, id: i64) -> i64 {
        let value = counters::table.find(id).select(counters::value);
        with_conn!(conn = self.idle_conn().await, value.get_result(conn).await).unwrap()
    }

    /// The full name of the lock for sessions of this database.
    pub(crate) fn full_name(&self, name: &LockName) -> String {
        server::full_name(&self.schema, name)
    }

    /// The session that holds the lock, as reported to another session.
    pub(crate) async fn holder(&self, name: &LockName) -> Option<i64> {
        self.holder_of(&self.full_name(name)).await
    }

    pub(crate) async fn holder_of(&self, full_name: &str) -> Option<i64> {
        with_conn!(
            conn = self.idle_conn().await,
            server::lock_holder(conn, full_name).await
        )
    }

    pub(crate) async fn assert_free(&self, name: &LockName) {
        assert_eq!(self.holder(name).await, None, "{name} is still held");
    }

    /// Waits until no session holds the lock.
    pub(crate) async fn wait_until_free(&self, name: &LockName) {
        self.wait_until_free_after(name, "").await;
    }

    async fn wait_until_free_after(&self, name: &LockName, what: &str) {
        let mut wait = Wait::until(format!("{name} is free {what}"));
        while self.holder(name).await.is_some() {
            wait.pause().await;
        }
    }

    /// Waits until the locks of every [`Path`](super::Path) are free, while clients are connected.
    pub(crate) async fn wait_until_paths_are_free(&self, what: &str) {
        for name in Self::locks_of_paths() {
            self.wait_until_free_after(&name, what).await;
        }
    }

    /// After a call that panicked, or a guard that was dropped: the connection is usable. A future
    /// has ended the session instead, so this opens another one.
    pub(crate) async fn after_drop(&self, conn: &mut Conn) {
        let is_broken = Manager::is_broken_transaction_manager(conn);
        assert_eq!(is_broken, DROP_ENDS_SESSION);
        if DROP_ENDS_SESSION {
            *conn = self.conn().await;
        }
    }

    /// Asserts that a call that panicked, or a guard that was dropped, has left the lock free. A
    /// future cannot wait for the server in a `Drop`.
    pub(crate) async fn assert_free_after_drop(&self, name: &LockName) {
        if DROP_ENDS_SESSION {
            self.wait_until_free(name).await;
        } else {
            self.assert_free(name).await;
        }
    }

    /// Acquires the lock in this session by SQL, without the library.
    pub(crate) async fn acquire_raw(&self, conn: &mut Conn, name: &LockName) {
        server::acquire(conn, &self.full_name(name)).await.unwrap();
    }

    /// Releases the lock in this session by SQL, without the library.
    pub(crate) async fn release_raw(&self, conn: &mut Conn, name: &LockName) {
        server::release(conn, &self.full_name(name)).await.unwrap();
    }

    pub(crate) async fn kill_session(&self, session: i64) {
        with_conn!(
            conn = self.idle_conn().await,
            server::kill_session(conn, session).await
        )
        .unwrap();
    }

    pub(crate) async fn kill_statement(&self, session: i64) {
        with_conn!(
            conn = self.idle_conn().await,
            server::kill_statement(conn, session).await
        )
        .unwrap();
    }

    pub(crate) async fn has_session(&self, session: i64) -> bool {
        with_conn!(
            conn = self.idle_conn().await,
            server::has_session(conn, session).await
        )
    }

    /// How many sessions of this database wait for a lock.
    pub(crate) async fn waiting_sessions(&self) -> i64 {
        with_conn!(
            conn = self.idle_conn().await,
            server::waiting_sessions(conn, &self.schema).await
        )
    }

    /// Waits until `count` sessions of this database wait for a lock.
    pub(crate) async fn wait_until_sessions_wait(&self, count: i64) {
        let mut wait = Wait::until(format!("{count} sessions wait for a lock"));
        while self.waiting_sessions().await != count {
            wait.pause().await;
        }
    }

    /// Waits until the server has queued the session for a lock.
    pub(crate) async fn wait_until_blocked(&self, session: i64) {
        let mut wait = Wait::until("the session waits for its lock".to_owned());
        while !with_conn!(
            conn = self.idle_conn().await,
            server::waits_for_lock(conn, session).await
        ) {
            wait.pause().await;
        }
    }
}

#[both]
impl Drop for Db {
    fn drop(&mut self) {
        // After a failed case, an error of this statement would hide the case's message.
        if !std::thread::panicking() {
            // PostgreSQL waits for sessions of the database in steps of 0.1 s.
            self.idle.get_mut().unwrap().clear();
            block_on(async || {
                server::drop_database(&mut self.conn_without_schema().await, &self.schema).await;
            });
        }
    }
}
