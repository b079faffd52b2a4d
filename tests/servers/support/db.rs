//! [`Db`]: a database of its own for each case, and questions to ask of the server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_advisory_lock::prelude::*;
use test_server::{Kind, Proxy};

use super::events::CountEvents;
use super::{Clients, Counter, Events, Target, counters, until};

pub(crate) type Locks = LockPool<MysqlConnection>;

pub(crate) struct Db {
    target: Target,
    pub(crate) schema: String,
}

impl Db {
    /// A new schema with empty tables.
    pub(crate) fn create(target: Target) -> Result<Db, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let db = Db {
            target,
            schema: format!("dal_test_{}_{next}", std::process::id()),
        };
        let url = target.url("");
        let mut conn =
            MysqlConnection::establish(&url).map_err(|error| format!("{url}: {error}"))?;
        let schema = &db.schema;
        conn.batch_execute(&format!(
            "CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
             CREATE TABLE {schema}.counters (id BIGINT PRIMARY KEY, value BIGINT NOT NULL);
             CREATE TABLE {schema}.documents (name VARCHAR(700) PRIMARY KEY, body TEXT NOT NULL);"
        ))
        .map_err(|error| error.to_string())?;
        Ok(db)
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        let version: String = diesel::select(diesel::dsl::sql::<Text>("VERSION()"))
            .get_result(&mut self.conn())
            .unwrap();
        version.contains("MariaDB")
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// Of a private case.
    pub(crate) fn kind(&self) -> Kind {
        match self.target {
            Target::Private(kind) => kind,
            Target::Url => panic!("this case is not marked as private"),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.target.url(&self.schema)
    }

    pub(crate) fn url_of_no_schema(&self) -> String {
        self.target.url("")
    }

    pub(crate) fn conn(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url()).unwrap()
    }

    pub(crate) fn pool(
        &self,
        size: u32,
    ) -> (Pool<ConnectionManager<MysqlConnection>>, Arc<Events>) {
        let events = Arc::new(Events::default());
        let pool = Pool::builder()
            .max_size(size)
            .test_on_check_out(false)
            .event_handler(Box::new(CountEvents(Arc::clone(&events))))
            .build(ConnectionManager::new(self.url()))
            .unwrap();
        (pool, events)
    }

    /// A connection and a pool, on a database with counter 1.
    pub(crate) fn clients(&self) -> Clients {
        Clients::new(&self.url())
    }

    /// Waits until the locks of all [`Form`](super::Form)s are free, while the clients are connected.
    pub(crate) fn until_free(&self, what: &str) {
        let counter = Counter { id: 1, value: 0 }.lock_name();
        for name in [counter, LockName::named("job")] {
            until(&format!("{name} is free: {what}"), || {
                self.holder(&name).is_none()
            });
        }
    }

    /// A network that is in the test's hands, and the database's address there.
    pub(crate) fn proxy(&self) -> (Proxy, String) {
        let url = self.url();
        let (account, rest) = url.rsplit_once('@').unwrap();
        let (address, database) = rest.split_once('/').unwrap();
        let mut addresses = match address.contains(':') {
            true => address.to_socket_addrs(),
            false => (address, 3306).to_socket_addrs(),
        }
        .unwrap();
        let proxy = Proxy::start(addresses.find(SocketAddr::is_ipv4).unwrap()).unwrap();
        let url = format!("{account}@127.0.0.1:{}/{database}", proxy.port());
        (proxy, url)
    }

    /// Locks over a pool of that many connections by way of such a network.
    pub(crate) fn locks_through_proxy(&self, size: u32) -> (Locks, Proxy) {
        let (proxy, url) = self.proxy();
        let pool = Pool::builder()
            .max_size(size)
            .test_on_check_out(false)
            .build(ConnectionManager::new(url));
        (LockPool::new(pool.unwrap()), proxy)
    }

    /// Locks over a pool of that many connections.
    pub(crate) fn locks(&self, size: u32) -> Locks {
        LockPool::new(self.pool(size).0)
    }

    /// Nobody is in the queue, all connections are back, and the server holds no lock of theirs.
    pub(crate) fn assert_idle(&self, locks: &Locks) {
        let state = locks.state();
        assert_eq!((state.names, state.waiting), (0, 0));
        until("all connections are back", || {
            let pool = locks.pool().state();
            pool.idle_connections == pool.connections
        });
        self.assert_free(&Counter { id: 1, value: 0 }.lock_name());
        self.assert_free(&LockName::named("job"));
    }

    /// How many sessions of this database wait for a user lock.
    pub(crate) fn waiting(&self) -> i64 {
        diesel::select(
            diesel::dsl::sql::<BigInt>(
                "(SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock' AND db = ",
            )
            .bind::<Text, _>(&self.schema)
            .sql(")"),
        )
        .get_result(&mut self.conn())
        .unwrap()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.conn().batch_execute(sql).unwrap();
    }

    /// MariaDB tells who holds which lock by a plugin.
    pub(crate) fn let_locks_be_seen(&self) {
        if self.kind() == Kind::Mariadb {
            self.execute(
                "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'",
            );
        }
    }

    /// A counter at zero.
    pub(crate) fn counter(&self, id: i64) -> Counter {
        let counter = Counter { id, value: 0 };
        diesel::insert_into(counters::table)
            .values(&counter)
            .execute(&mut self.conn())
            .unwrap();
        counter
    }

    /// The stored value of a counter.
    pub(crate) fn value(&self, id: i64) -> i64 {
        counters::table
            .find(id)
            .select(counters::value)
            .get_result(&mut self.conn())
            .unwrap()
    }

    /// The connection id of the lock's holder, as another session sees it.
    pub(crate) fn holder(&self, name: &LockName) -> Option<i64> {
        self.holder_of_written(&name.written(&self.schema))
    }

    pub(crate) fn holder_of_written(&self, written: &str) -> Option<i64> {
        diesel::select(
            diesel::dsl::sql::<Nullable<BigInt>>("CAST(IS_USED_LOCK(")
                .bind::<Text, _>(written)
                .sql(") AS SIGNED)"),
        )
        .get_result(&mut self.conn())
        .unwrap()
    }

    pub(crate) fn assert_free(&self, name: &LockName) {
        assert_eq!(self.holder(name), None, "{name} is still held");
    }

    pub(crate) fn is_session(&self, session: i64) -> bool {
        self.counts_sessions(session, "%")
    }

    /// Whether the server says so of a session.
    pub(crate) fn is_in_state(&self, session: i64, state: &str) -> bool {
        self.counts_sessions(session, state)
    }

    fn counts_sessions(&self, session: i64, state: &str) -> bool {
        let count: i64 = diesel::select(
            diesel::dsl::sql::<BigInt>(
                "(SELECT COUNT(*) FROM information_schema.processlist WHERE id = ",
            )
            .bind::<BigInt, _>(session)
            .sql(" AND COALESCE(state, '') LIKE ")
            .bind::<Text, _>(state)
            .sql(")"),
        )
        .get_result(&mut self.conn())
        .unwrap();
        count == 1
    }

    /// Waits until a session waits for a user lock, which is then sure to be in line.
    pub(crate) fn until_waiting(&self, session: i64) {
        let conn = &mut self.conn();
        until("the session waits for its lock", || {
            let waiting: i64 = diesel::select(
                diesel::dsl::sql::<BigInt>(
                    "(SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock' AND id = ",
                )
                .bind::<BigInt, _>(session)
                .sql(")"),
            )
            .get_result(conn)
            .unwrap();
            waiting == 1
        });
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // A case that failed may have left the server in any state; its own message comes first.
        if !std::thread::panicking() {
            self.execute(&format!("DROP DATABASE {}", self.schema));
        }
    }
}
