// Hidden at the head of the documentation's examples: a model, and a database of its own on a private server.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
        sent -> Bool,
    }
}

#[derive(Debug, PartialEq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
struct Notification {
    id: i32,
    message: String,
    sent: bool,
}

#[allow(dead_code)]
impl Notification {
    /// Sends the mail, and tells whether there was still one to send.
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<bool> {
        if self.sent {
            return Ok(false);
        }
        self.sent = true;
        diesel::update(&*self).set(&*self).execute(conn)?;
        Ok(true)
    }
}

/// A connection to a database that holds the notification 42, which has not been sent.
fn establish_connection() -> MysqlConnection {
    let url = test_server::url_under_test().unwrap_or_else(|| {
        test_server::Server::shared(test_server::kinds_under_test()[0]).url("")
    });
    let mut conn = MysqlConnection::establish(&url).expect("a server under test");
    let schema = format!("dal_doctest_{}", std::process::id());
    conn.batch_execute(&format!(
        "DROP DATABASE IF EXISTS {schema};
         CREATE DATABASE {schema};
         USE {schema};
         CREATE TABLE notifications (
             id INTEGER PRIMARY KEY, message TEXT NOT NULL, sent BOOLEAN NOT NULL DEFAULT FALSE
         );
         INSERT INTO notifications (id, message) VALUES (42, 'Hello world');"
    ))
    .expect("a schema for this example");
    conn
}
