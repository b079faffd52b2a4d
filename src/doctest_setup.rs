// Hidden at the head of the documentation's examples: a model, and a table of its own on a private server.

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

/// A connection that sees the notification 42, which has not been sent. The table is temporary, so nothing
/// is left behind on a server that is not ours.
fn establish_connection() -> MysqlConnection {
    let mut conn = match test_server::url_under_test() {
        Some(url) => MysqlConnection::establish(&url).expect("the server of DATABASE_URL"),
        None => {
            let server = test_server::Server::shared(test_server::kinds_under_test()[0]);
            let mut conn = MysqlConnection::establish(&server.url("")).expect("a private server");
            conn.batch_execute("CREATE DATABASE IF NOT EXISTS doctest; USE doctest")
                .expect("a schema");
            conn
        }
    };
    conn.batch_execute(
        "CREATE TEMPORARY TABLE notifications (
             id INTEGER PRIMARY KEY, message TEXT NOT NULL, sent BOOLEAN NOT NULL DEFAULT FALSE
         );
         INSERT INTO notifications (id, message) VALUES (42, 'Hello world');",
    )
    .expect("a table for this example");
    conn
}
