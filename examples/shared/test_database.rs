//! [`TestDatabase`]: an empty database for one run of a test.

use diesel::Connection;
use test_server::{Server, is_postgres_url, kinds_under_test, url_under_test};

#[cfg(feature = "mysql")]
use super::MysqlConnection;
#[cfg(feature = "postgres")]
use super::PgConnection;

/// A new database on a server under test. It is dropped unless the test fails.
pub(crate) struct TestDatabase {
    /// The URL of a database on the server in which statements for the server are executed.
    server: String,
    name: String,
}

impl TestDatabase {
    /// Runs the test on each server that `TEST_SERVERS` names, with a new database each time.
    /// `name` must be unique among the tests of the example.
    pub(crate) fn on_each_server(name: &str, test: impl Fn(&Self)) {
        let private = kinds_under_test()
            .into_iter()
            .map(|kind| (kind.to_string(), Server::shared(kind).url("")));
        let given = url_under_test().map(|url| ("the server of DATABASE_URL".to_owned(), url));
        for (server, url) in private.chain(given) {
            // Shown if the test fails.
            println!("on {server}:");
            test(&Self::create(url, name));
        }
    }

    fn create(server: String, name: &str) -> Self {
        let name = format!("{name}_{}", std::process::id());
        execute(&server, &format!("CREATE DATABASE {name}"));
        Self { server, name }
    }

    /// The URL of this database: `mysql://user@host/database?option` becomes
    /// `mysql://user@host/name`.
    pub(crate) fn url(&self) -> String {
        let (scheme, rest) = self.server.split_once("://").unwrap_or(("", &self.server));
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        format!("{scheme}://{host}/{}", self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A second panic would hide the message of the first.
        if std::thread::panicking() {
            return;
        }
        // PostgreSQL may not have noticed yet that the processes have ended.
        let force = match is_postgres_url(&self.server) {
            true => " WITH (FORCE)",
            false => "",
        };
        execute(&self.server, &format!("DROP DATABASE {}{force}", self.name));
    }
}

fn execute(url: &str, sql: &str) {
    fn on<C: Connection>(url: &str, sql: &str) {
        C::establish(url)
            .expect("a connection to the server")
            .batch_execute(sql)
            .expect(sql);
    }
    match is_postgres_url(url) {
        #[cfg(feature = "mysql")]
        false => on::<MysqlConnection>(url, sql),
        #[cfg(feature = "postgres")]
        true => on::<PgConnection>(url, sql),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => panic!("compile the test with `--features mysql,postgres`"),
    }
}
