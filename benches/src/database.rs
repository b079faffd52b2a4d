//! The private server, its tables, and connections to it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sql_types::Text;
use diesel_advisory_lock::prelude::*;
use mysql::OptsBuilder;
use raw_client::Address;
use test_server::{Proxy, Server, ServerKind};

/// Whether the program measures PostgreSQL.
pub(crate) const IS_POSTGRES: bool = cfg!(feature = "postgres");

#[cfg(not(feature = "postgres"))]
pub(crate) use diesel::mysql::{Mysql as Backend, MysqlConnection as Conn};
#[cfg(feature = "postgres")]
pub(crate) use diesel::pg::{Pg as Backend, PgConnection as Conn};
#[cfg(not(feature = "postgres"))]
pub(crate) use diesel_async::AsyncMysqlConnection as AsyncConn;
#[cfg(feature = "postgres")]
pub(crate) use diesel_async::AsyncPgConnection as AsyncConn;

/// A session of the C client.
#[cfg(not(feature = "postgres"))]
pub(crate) use raw_client::Session as RawSession;
#[cfg(feature = "postgres")]
pub(crate) use raw_client::postgres::Session as RawSession;

diesel::table! {
    accounts (id) {
        id -> BigInt,
        balance -> BigInt,
    }
}

diesel::table! {
    /// The lock table: a row for each held lock.
    claims (name) {
        name -> VarChar,
    }
}

#[derive(Clone, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = accounts, check_for_backend(Backend))]
pub(crate) struct Account {
    pub(crate) id: i64,
    pub(crate) balance: i64,
}

/// How many statements of one kind the server has executed.
#[derive(QueryableByName)]
struct StatementCounter {
    #[diesel(sql_type = Text, column_name = "Variable_name")]
    name: String,
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

impl Account {
    pub(crate) fn empty(id: i64) -> Self {
        Account { id, balance: 0 }
    }
}

/// The largest number of names, and a warm-up name for each of the most threads.
const ACCOUNTS: usize = 100_000 + 256;

/// The lock's name for competitors that do not use this crate's names.
pub(crate) fn id_name(id: i64) -> String {
    format!("accounts:{id}")
}

pub(crate) fn lock_name(id: i64) -> LockName {
    LockName::row(accounts::table, id)
}

/// The full name that this crate sends to the server.
pub(crate) fn full_name(id: i64) -> String {
    lock_name(id).full_name(SCHEMA)
}

/// The key that this crate sends to PostgreSQL.
#[cfg(feature = "postgres")]
pub(crate) fn lock_key(id: i64) -> i64 {
    lock_name(id).postgres_key("public")
}

pub(crate) const SCHEMA: &str = "bench";

pub(crate) type Connections = Pool<ConnectionManager<Conn>>;

pub(crate) struct Database {
    /// Where the server listens, and where the proxy does.
    port: u16,
    delayed_port: u16,
    /// `None` if another process has started the server.
    own: Option<Own>,
}

struct Own {
    server: Server,
    proxy: Proxy,
}

/// How clients reach the server.
#[derive(Clone, Copy)]
pub(crate) enum Transport {
    Tcp,
    /// TCP through the proxy, which adds a [delay](Database::set_delay).
    Delayed,
    Socket,
}

/// The database over one transport.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint<'a> {
    pub(crate) database: &'a Database,
    pub(crate) transport: Transport,
}

impl Database {
    pub(crate) fn start(kind: ServerKind) -> Result<Database> {
        ensure!(
            kind.is_postgres() == IS_POSTGRES,
            "the feature `postgres` of this program does not match the server"
        );
        // Counts nothing by default.
        let counters: &[&str] = match IS_POSTGRES {
            true => &[
                "-cshared_preload_libraries=pg_stat_statements",
                "-cpg_stat_statements.track=none",
            ],
            false => &[],
        };
        let server = Server::start_with(kind, counters)?;
        let proxy = Proxy::start(server.address())?;
        let mut conn = Conn::establish(&server.url(""))?;
        if !IS_POSTGRES {
            conn.batch_execute("SET GLOBAL max_connections = 1000")?;
        }
        conn.batch_execute("CREATE DATABASE bench")?;
        let mut conn = Conn::establish(&server.url(SCHEMA))?;
        conn.batch_execute(
            "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
             CREATE TABLE claims (name VARCHAR(64) PRIMARY KEY);",
        )?;
        let rows: Vec<_> = (1..=ACCOUNTS).map(|id| format!("({id},0)")).collect();
        for rows in rows.chunks(10_000) {
            let rows = rows.join(",");
            conn.batch_execute(&format!("INSERT INTO accounts VALUES {rows}"))?;
        }
        Ok(Database {
            port: server.port(),
            delayed_port: proxy.port(),
            own: Some(Own { server, proxy }),
        })
    }

    /// Returns the database of another process, over TCP.
    pub(crate) fn at_port(port: u16) -> Self {
        Database {
            port,
            delayed_port: port,
            own: None,
        }
    }

    pub(crate) fn by(&self, transport: Transport) -> Endpoint<'_> {
        Endpoint {
            database: self,
            transport,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn own(&self) -> Result<&Own> {
        self.own.as_ref().context("the server is another process's")
    }

    fn socket(&self) -> Result<&str> {
        let path = self.own()?.server.socket_path().to_str();
        path.context("the path of the socket is not UTF-8")
    }

    /// Returns product and version, such as `MariaDB 10.11.19`.
    pub(crate) fn version(&self) -> Result<String> {
        let mut conn = self.by(Transport::Tcp).connect()?;
        let version: String =
            diesel::select(diesel::dsl::sql::<Text>("VERSION()")).get_result(&mut conn)?;
        if IS_POSTGRES {
            // `PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on ..`
            let words: Vec<_> = version.split(' ').take(2).collect();
            return Ok(words.join(" "));
        }
        let (number, rest) = version.split_once('-').unwrap_or((&version, ""));
        let product = if rest.contains("MariaDB") {
            "MariaDB"
        } else {
            "MySQL"
        };
        Ok(format!("{product} {number}"))
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.own.as_ref()?.server.pid()
    }

    /// Returns the server's directory, which is removed when the server ends.
    pub(crate) fn directory(&self) -> Result<&Path> {
        Ok(self.own()?.server.directory())
    }

    /// Sets the delay of the proxy, in each direction.
    pub(crate) fn set_delay(&self, one_way: Duration) -> Result<()> {
        self.own()?.proxy.set_delay(one_way);
        Ok(())
    }

    /// Lets the server count statements, or not. MariaDB and MySQL always do.
    pub(crate) fn count_statements(&self, on: bool) -> Result<()> {
        if IS_POSTGRES {
            let track = if on { "top" } else { "none" };
            self.by(Transport::Tcp).connect()?.batch_execute(&format!(
                "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
                 ALTER DATABASE {SCHEMA} SET pg_stat_statements.track = {track};"
            ))?;
        }
        Ok(())
    }

    /// Returns the statements that the server has executed so far, without the preparation of
    /// statements.
    pub(crate) fn statements(&self) -> Result<u64> {
        let sql = match IS_POSTGRES {
            true => {
                "SELECT 'Com_' AS \"Variable_name\", COALESCE(sum(calls), 0)::text AS \"Value\"
                 FROM pg_stat_statements"
            }
            false => "SHOW GLOBAL STATUS LIKE 'Com\\_%'",
        };
        let conn = &mut self.by(Transport::Tcp).connect()?;
        let counters: Vec<StatementCounter> = diesel::sql_query(sql).load(conn)?;
        let is_statement = |counter: &&StatementCounter| {
            let name = &counter.name;
            !name.starts_with("Com_stmt_") && name != "Com_admin_commands"
        };
        let mut sum = 0;
        for counter in counters.iter().filter(is_statement) {
            sum += counter.value.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Returns the round trips through the proxy so far.
    pub(crate) fn round_trips(&self) -> Result<u64> {
        Ok(self.own()?.proxy.round_trips())
    }
}

impl<'a> Endpoint<'a> {
    pub(crate) fn url(&self) -> Result<String> {
        let scheme = if IS_POSTGRES { "postgres" } else { "mysql" };
        let tcp = |port| format!("{scheme}://root@127.0.0.1:{port}/{SCHEMA}");
        Ok(match self.transport {
            Transport::Tcp => tcp(self.database.port),
            Transport::Delayed => tcp(self.database.delayed_port),
            Transport::Socket if IS_POSTGRES => {
                let directory = self.database.directory()?.to_str();
                let directory = directory.context("the path of the socket is not UTF-8")?;
                format!("{}?host={directory}", tcp(self.database.port))
            }
            Transport::Socket => {
                let socket = self.database.socket()?;
                format!("mysql://root@localhost/{SCHEMA}?unix_socket={socket}")
            }
        })
    }

    pub(crate) fn connect(&self) -> Result<Conn> {
        Ok(Conn::establish(&self.url()?)?)
    }

    pub(crate) fn raw_session(&self) -> Result<RawSession> {
        #[cfg(not(feature = "postgres"))]
        let session = RawSession::connect(self.address()?, SCHEMA)?;
        #[cfg(feature = "postgres")]
        let session = RawSession::connect(&self.url()?)?;
        Ok(session)
    }

    pub(crate) fn pool(&self, size: usize) -> Result<Connections> {
        Ok(Pool::builder()
            .max_size(u32::try_from(size)?)
            .build(ConnectionManager::new(self.url()?))?)
    }

    /// Returns the address for the C client.
    pub(crate) fn address(&self) -> Result<Address<'a>> {
        Ok(match self.transport {
            Transport::Tcp => Address::Tcp(self.database.port),
            Transport::Delayed => Address::Tcp(self.database.delayed_port),
            Transport::Socket => Address::Socket(self.database.socket()?),
        })
    }

    /// Returns the options for the `mysql` crate.
    pub(crate) fn options(&self) -> Result<OptsBuilder> {
        let options = OptsBuilder::new().user(Some("root")).db_name(Some(SCHEMA));
        // By default, the client changes to the socket.
        let options = options.prefer_socket(false);
        let tcp = |port| {
            options
                .clone()
                .ip_or_hostname(Some("127.0.0.1"))
                .tcp_port(port)
        };
        Ok(match self.transport {
            Transport::Tcp => tcp(self.database.port),
            Transport::Delayed => tcp(self.database.delayed_port),
            Transport::Socket => options.socket(Some(self.database.socket()?)),
        })
    }

    /// Returns the URL for the async clients, over TCP.
    pub(crate) fn async_url(&self) -> Result<String> {
        let url = self.url()?;
        // By default, the client of MySQL changes to the socket.
        Ok(match IS_POSTGRES {
            true => url,
            false => url + "?prefer_socket=false",
        })
    }

    /// Returns the URL for sqlx, without TLS, as for the other competitors.
    pub(crate) fn sqlx_url(&self) -> Result<String> {
        let tcp = |url: String| url + "?ssl-mode=DISABLED";
        Ok(match self.transport {
            Transport::Socket if IS_POSTGRES => self.url()? + "&sslmode=disable",
            _ if IS_POSTGRES => self.url()? + "?sslmode=disable",
            Transport::Tcp | Transport::Delayed => tcp(self.url()?),
            Transport::Socket => {
                let url = tcp(self.database.by(Transport::Tcp).url()?);
                format!("{url}&socket={}", self.database.socket()?)
            }
        })
    }
}
