//! [`Db`]: a database for each case, and what cases ask the server about it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection};
use diesel_advisory_lock::prelude::*;
use test_server::{Proxy, Server};

use super::events::{CountEvents, Prepare};
use super::{Counter, Events, counters, second_lock, wait_until};
use crate::server::{self, Conn, ServerKind};

pub(crate) type Locks = LockPool<Conn>;
pub(crate) type Pool = diesel::r2d2::Pool<ConnectionManager<Conn>>;

pub(crate) struct Db {
    kind: ServerKind,
    pub(crate) schema: String,
    /// Idle connections of [`with_conn`](Self::with_conn).
    idle: Mutex<Vec<Conn>>,
}

impl Db {
    /// Creates a database with empty tables.
    pub(crate) fn create(kind: ServerKind) -> Db {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("dal_test_{}_{next}", std::process::id());
        let idle = Mutex::default();
        let db = Db { kind, schema, idle };
        server::create_database(&mut db.conn_without_schema(), &db.schema);
        db.execute(
            "CREATE TABLE counters (id BIGINT PRIMARY KEY, value BIGINT NOT NULL);
             CREATE TABLE documents (name VARCHAR(700) PRIMARY KEY, body TEXT NOT NULL);",
        );
        db
    }

    /// Creates another database on the same server.
    pub(crate) fn create_other(&self) -> Db {
        Self::create(self.kind)
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
    pub(crate) fn lock_before_begin(&self) {
        self.with_conn(|conn| server::lock_before_begin(conn, &self.schema));
    }

    pub(crate) fn conn(&self) -> Conn {
        Conn::establish(&self.url()).unwrap()
    }

    /// Runs `work` on a connection that later calls use again: PostgreSQL takes milliseconds to open
    /// one. It is only for work that leaves no trace in the session.
    fn with_conn<R>(&self, work: impl FnOnce(&mut Conn) -> R) -> R {
        let idle = self.idle.lock().unwrap().pop();
        let mut conn = idle.unwrap_or_else(|| self.conn());
        let result = work(&mut conn);
        self.idle.lock().unwrap().push(conn);
        result
    }

    pub(crate) fn conn_without_schema(&self) -> Conn {
        let url = self.url_of(server::NO_SCHEMA);
        Conn::establish(&url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    pub(crate) fn pool(&self, size: u32) -> (Pool, Arc<Events>) {
        Self::pool_at(&self.url(), size, |_| {})
    }

    /// A pool that calls `prepare` with each connection that it opens.
    pub(crate) fn pool_at(
        url: &str,
        size: u32,
        prepare: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> (Pool, Arc<Events>) {
        let events = Arc::new(Events::default());
        let customizer: Box<dyn CustomizeConnection<_, _>> = Box::new(Prepare(prepare));
        let pool = Pool::builder()
            .max_size(size)
            .test_on_check_out(false)
            .connection_customizer(customizer)
            .event_handler(Box::new(CountEvents(Arc::clone(&events))))
            .build(ConnectionManager::new(url))
            .unwrap();
        (pool, events)
    }

    /// A lock pool over a pool of `size` connections.
    pub(crate) fn locks(&self, size: u32) -> Locks {
        LockPool::new(self.pool(size).0)
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
        (proxy, url)
    }

    /// A lock pool over a pool of `size` connections through a proxy.
    pub(crate) fn locks_through_proxy(&self, size: u32) -> (Locks, Proxy) {
        let (proxy, url) = self.proxy();
        let (pool, _) = Self::pool_at(&url, size, |_| {});
        (LockPool::new(pool), proxy)
    }

    /// Asserts that the queue is empty, all connections are idle, and the locks of every
    /// [`Path`](super::Path) are free.
    pub(crate) fn assert_idle(&self, locks: &Locks) {
        let state = locks.state();
        assert_eq!((state.names, state.waiting), (0, 0));
        wait_until("all connections are idle", || {
            let pool = locks.pool().state();
            pool.idle_connections == pool.connections
        });
        for name in Self::locks_of_paths() {
            self.assert_free(&name);
        }
    }

    fn locks_of_paths() -> [LockName; 2] {
        [Counter { id: 1, value: 0 }.lock_name(), second_lock()]
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.with_conn(|conn| conn.batch_execute(sql)).unwrap();
    }

    /// Inserts a counter at zero.
    pub(crate) fn counter(&self, id: i64) -> Counter {
        let counter = Counter { id, value: 0 };
        let insert = diesel::insert_into(counters::table).values(&counter);
        self.with_conn(|conn| insert.execute(conn)).unwrap();
        counter
    }

    /// The stored value of a counter.
    pub(crate) fn value(&self, id: i64) -> i64 {
        let value = counters::table.find(id).select(counters::value);
        self.with_conn(|conn| value.get_result(conn)).unwrap()
    }

    /// The full name of the lock for sessions of this database.
    pub(crate) fn full_name(&self, name: &LockName) -> String {
        server::full_name(&self.schema, name)
    }

    /// The session that holds the lock, as reported to another session.
    pub(crate) fn holder(&self, name: &LockName) -> Option<i64> {
        self.holder_of(&self.full_name(name))
    }

    pub(crate) fn holder_of(&self, full_name: &str) -> Option<i64> {
        self.with_conn(|conn| server::lock_holder(conn, full_name))
    }

    pub(crate) fn assert_free(&self, name: &LockName) {
        assert_eq!(self.holder(name), None, "{name} is still held");
    }

    /// Waits until no session holds the lock.
    pub(crate) fn wait_until_free(&self, name: &LockName) {
        wait_until(&format!("{name} is free"), || self.holder(name).is_none());
    }

    /// Waits until the locks of every [`Path`](super::Path) are free, while clients are connected.
    pub(crate) fn wait_until_paths_are_free(&self, what: &str) {
        for name in Self::locks_of_paths() {
            wait_until(&format!("{name} is free: {what}"), || {
                self.holder(&name).is_none()
            });
        }
    }

    /// Acquires the lock in this session by SQL, without the library.
    pub(crate) fn acquire_raw(&self, conn: &mut Conn, name: &LockName) {
        server::acquire(conn, &self.full_name(name)).unwrap();
    }

    /// Releases the lock in this session by SQL, without the library.
    pub(crate) fn release_raw(&self, conn: &mut Conn, name: &LockName) {
        server::release(conn, &self.full_name(name)).unwrap();
    }

    pub(crate) fn kill_session(&self, session: i64) {
        self.with_conn(|conn| server::kill_session(conn, session))
            .unwrap();
    }

    pub(crate) fn kill_statement(&self, session: i64) {
        self.with_conn(|conn| server::kill_statement(conn, session))
            .unwrap();
    }

    pub(crate) fn has_session(&self, session: i64) -> bool {
        self.with_conn(|conn| server::has_session(conn, session))
    }

    /// How many sessions of this database wait for a lock.
    pub(crate) fn waiting_sessions(&self) -> i64 {
        self.with_conn(|conn| server::waiting_sessions(conn, &self.schema))
    }

    /// Waits until `count` sessions of this database wait for a lock.
    pub(crate) fn wait_until_sessions_wait(&self, count: i64) {
        wait_until(&format!("{count} sessions wait for a lock"), || {
            self.waiting_sessions() == count
        });
    }

    /// Waits until the server has queued the session for a lock.
    pub(crate) fn wait_until_blocked(&self, session: i64) {
        wait_until("the session waits for its lock", || {
            self.with_conn(|conn| server::waits_for_lock(conn, session))
        });
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // After a failed case, an error of this statement would hide the case's message.
        if !std::thread::panicking() {
            // PostgreSQL waits for sessions of the database in steps of 0.1 s.
            self.idle.get_mut().unwrap().clear();
            server::drop_database(&mut self.conn_without_schema(), &self.schema);
        }
    }
}
