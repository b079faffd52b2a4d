//! A database of its own for each case, and questions to ask of the server.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, HandleEvent, Pool, event};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_advisory_lock::prelude::*;
use test_server::{Kind, Proxy, Server};

diesel::table! {
    counters (id) {
        id -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    documents (name) {
        name -> Text,
        body -> Text,
    }
}

#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, Insertable, AsChangeset,
)]
#[diesel(table_name = counters, check_for_backend(diesel::mysql::Mysql))]
pub(crate) struct Counter {
    pub(crate) id: i64,
    pub(crate) value: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, Insertable)]
#[diesel(table_name = documents, primary_key(name), check_for_backend(diesel::mysql::Mysql))]
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) body: String,
}

impl Counter {
    pub(crate) fn save(&self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn)
    }
}

pub(crate) type Locks = LockPool<MysqlConnection>;

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Db),
    /// It looks at the clock.
    pub(crate) alone: bool,
    /// It is about one kind of server, and starts its own.
    pub(crate) only: Option<Kind>,
}

impl Case {
    pub(crate) fn new(name: &'static str, run: fn(&Db)) -> Self {
        Case {
            name,
            run,
            alone: false,
            only: None,
        }
    }

    pub(crate) fn alone(self) -> Self {
        Case {
            alone: true,
            ..self
        }
    }

    pub(crate) fn only(self, kind: Kind) -> Self {
        Case {
            only: Some(kind),
            ..self
        }
    }

    pub(crate) fn is_for(&self, target: Target) -> bool {
        match (self.only, target) {
            (Some(only), Target::Private(kind)) => only == kind,
            (Some(_), Target::Url) => false,
            (None, _) => true,
        }
    }
}

/// A server to test on.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Private(Kind),
    /// The one that `DATABASE_URL` names, for machines where none can be installed.
    Url,
}

impl Target {
    pub(crate) fn all() -> Vec<Target> {
        let private = test_server::kinds_under_test()
            .into_iter()
            .map(Target::Private);
        let url = test_server::url_under_test().map(|_| Target::Url);
        private.chain(url).collect()
    }

    fn url(self, database: &str) -> String {
        match self {
            Target::Private(kind) => Server::shared(kind).url(database),
            Target::Url => {
                let url =
                    test_server::url_under_test().expect("checked when the cases were listed");
                let (before, after) = url.split_at(url.find("://").map_or(0, |at| at + 3));
                let server = after.split(['/', '?']).next().unwrap_or_default();
                format!("{before}{server}/{database}")
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Private(kind) => kind.fmt(f),
            Target::Url => f.write_str("url"),
        }
    }
}

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
        self.text("SELECT VERSION()").contains("MariaDB")
    }

    pub(crate) fn target(&self) -> Target {
        self.target
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

    /// MariaDB tells who holds which lock by a plugin. Nothing is installed on a server that is not ours.
    pub(crate) fn lets_locks_be_seen(&self) -> bool {
        match self.target {
            Target::Private(Kind::Mysql) => {}
            Target::Private(Kind::Mariadb) => self.execute(
                "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'",
            ),
            Target::Url => {
                eprintln!("SKIPPED: who holds which lock is looked at on private servers only");
                return false;
            }
        }
        true
    }

    fn text(&self, sql: &str) -> String {
        diesel::select(diesel::dsl::sql::<Text>(sql.trim_start_matches("SELECT ")))
            .get_result(&mut self.conn())
            .unwrap()
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

/// An account that may use the database and nothing else.
pub(crate) struct Account<'d> {
    db: &'d Db,
    name: String,
}

impl<'d> Account<'d> {
    pub(crate) fn create(db: &'d Db) -> Self {
        // 32 characters are MySQL's limit.
        let name = db.schema.replace("dal_test_", "weak_");
        db.execute(&format!(
            "CREATE USER {name}@'%'; GRANT ALL ON {}.* TO {name}@'%';",
            db.schema
        ));
        Account { db, name }
    }

    pub(crate) fn grant(&self, what: &str) {
        self.db
            .execute(&format!("GRANT {what} TO {}@'%'", self.name));
    }

    pub(crate) fn url(&self) -> String {
        let url = self.db.url();
        let (_, rest) = url.rsplit_once('@').unwrap();
        format!("mysql://{}@{rest}", self.name)
    }

    pub(crate) fn conn(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url()).unwrap()
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.db.execute(&format!("DROP USER {}@'%'", self.name));
        }
    }
}

/// Cargo builds the examples with the tests, beside them.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let example = examples.join(name);
    assert!(
        example.exists(),
        "{} is missing: run `cargo build --examples` first, or all tests with `cargo xtask test`",
        example.display()
    );
    example
}

/// Polls for up to ten seconds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn session_id(conn: &mut MysqlConnection) -> i64 {
    diesel::select(diesel::dsl::sql::<BigInt>(
        "CAST(CONNECTION_ID() AS SIGNED)",
    ))
    .get_result(conn)
    .unwrap()
}

/// What happened to a pool's connections.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) opened: AtomicUsize,
    pub(crate) discarded: AtomicUsize,
    pub(crate) returned: AtomicUsize,
}

impl Events {
    /// Opened, returned, discarded.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (
            self.opened.load(Ordering::SeqCst),
            self.returned.load(Ordering::SeqCst),
            self.discarded.load(Ordering::SeqCst),
        )
    }
}

#[derive(Debug)]
struct CountEvents(Arc<Events>);

impl HandleEvent for CountEvents {
    fn handle_acquire(&self, _: event::AcquireEvent) {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn handle_release(&self, _: event::ReleaseEvent) {
        self.0.discarded.fetch_add(1, Ordering::SeqCst);
    }

    fn handle_checkin(&self, _: event::CheckinEvent) {
        self.0.returned.fetch_add(1, Ordering::SeqCst);
    }
}
