//! [`TestDatabase`]: an empty database for one run of a test.

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query};
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

    /// Executes statements in this database.
    #[allow(dead_code, reason = "not every example needs it")]
    pub(crate) fn execute(&self, sql: &str) {
        execute(&self.url(), sql);
    }

    /// Returns the column `value`, a text, of the rows of a query in this database.
    #[allow(dead_code, reason = "not every example needs it")]
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let url = &self.url();
        let rows: Vec<Row> = match is_postgres_url(url) {
            #[cfg(feature = "mysql")]
            false => sql_query(sql).load(&mut connect::<MysqlConnection>(url)),
            #[cfg(feature = "postgres")]
            true => sql_query(sql).load(&mut connect::<PgConnection>(url)),
            #[allow(unreachable_patterns, reason = "reached with one of the features")]
            _ => panic!("{OTHER_FEATURE}"),
        }
        .expect(sql);
        rows.into_iter().map(|row| row.value).collect()
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    value: String,
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
    match is_postgres_url(url) {
        #[cfg(feature = "mysql")]
        false => connect::<MysqlConnection>(url).batch_execute(sql),
        #[cfg(feature = "postgres")]
        true => connect::<PgConnection>(url).batch_execute(sql),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => panic!("{OTHER_FEATURE}"),
    }
    .expect(sql);
}

#[allow(dead_code, reason = "used with both features only")]
const OTHER_FEATURE: &str = "compile the test with `--features mysql,postgres`";

fn connect<C: Connection>(url: &str) -> C {
    C::establish(url).expect("a connection to the server")
}
