//! [`TestDatabase`]: an empty database for one run of a test.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use test_server::{Server, mysql_kinds_under_test, url_under_test};

/// A new database on a server under test. It is dropped unless the test fails.
pub(crate) struct TestDatabase {
    /// The server's URL, up to the database's name.
    server: String,
    name: String,
}

impl TestDatabase {
    /// Runs the test on each MariaDB and MySQL server that `TEST_SERVERS` names, with a new database
    /// each time.
    /// `name` must be unique among the tests of the example.
    pub(crate) fn on_each_server(name: &str, test: impl Fn(&Self)) {
        let private = mysql_kinds_under_test()
            .into_iter()
            .map(|kind| (kind.to_string(), Server::shared(kind).url("")));
        let given = url_under_test().filter(|url| url.starts_with("mysql:"));
        let given = given.map(|url| ("the server of DATABASE_URL".to_owned(), url));
        for (server, url) in private.chain(given) {
            // Shown if the test fails.
            println!("on {server}:");
            test(&Self::create(&url, name));
        }
    }

    fn create(url: &str, name: &str) -> Self {
        let database = Self {
            server: without_database(url),
            name: format!("{name}_{}", std::process::id()),
        };
        database.execute(&format!("CREATE DATABASE {}", database.name));
        database
    }

    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.server, self.name)
    }

    fn execute(&self, sql: &str) {
        MysqlConnection::establish(&self.server)
            .expect("a connection to the server")
            .batch_execute(sql)
            .expect(sql);
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A second panic would hide the message of the first.
        if !std::thread::panicking() {
            self.execute(&format!("DROP DATABASE {}", self.name));
        }
    }
}

/// `mysql://user@host/database?option` becomes `mysql://user@host/`.
fn without_database(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let server = rest.split(['/', '?']).next().unwrap_or_default();
    format!("{scheme}{server}/")
}
