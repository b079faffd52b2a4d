//! Errors of MySQL and MariaDB are recognised by their numbers.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::{is_mariadb, session_id};
use crate::suite::support::Db;

/// The error number decides, not the message, which is French in this session.
#[server_test]
fn deadlock_in_another_language_is_recognised(db: &Db) {
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut other = db.conn();
    let other_id = session_id(&mut other);
    std::thread::scope(|scope| {
        let conn = &mut db.conn();
        conn.batch_execute("SET lc_messages = 'fr_FR'").unwrap();
        let mut held = a.lock().acquire(conn).unwrap();
        let crossing = scope.spawn(|| {
            let mut held = b.lock().acquire(&mut other).unwrap();
            a.lock()
                .timeout(Duration::from_millis(2_500))
                .acquire(&mut held)
                .map(drop)
        });
        db.wait_until_blocked(other_id);
        let refused = b
            .lock()
            .timeout(Duration::from_millis(2_500))
            .acquire(&mut held)
            .map(drop);
        let Err(LockError::Deadlock { source, .. }) = &refused else {
            panic!("{refused:?}");
        };
        // MySQL has no French message for its error number.
        let is_english = source.to_string().contains("Deadlock found");
        assert_eq!(is_english, !is_mariadb(db), "{source}");
        held.release().unwrap();
        crossing.join().unwrap().unwrap();
    });
}
