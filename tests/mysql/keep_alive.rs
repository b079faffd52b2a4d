//! `keep_alive` and `wait_timeout`, the idle timeout of MySQL and MariaDB.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::{LockStatus, prelude::*};
use server_test::server_test;

use crate::prepare_disabled::PrepareDisabledServer;
use crate::suite::keep_alive::{idle_seconds, limited};
use crate::suite::support::Db;

#[server_test]
fn keep_alive_is_rounded_up_to_seconds_and_at_most_a_year(db: &Db) {
    let conn = &mut limited(db, 1);
    // MariaDB refuses what is out of range in this mode.
    conn.batch_execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
        .unwrap();
    for (keep_alive, seconds) in [
        (Duration::from_millis(1_001), 2),
        (Duration::MAX, 31_536_000),
    ] {
        let request = LockName::named("job").lock().keep_alive(keep_alive);
        let seen = request.run(conn, |_, conn| Ok::<_, LockError>(idle_seconds(conn)));
        assert_eq!(seen.unwrap(), seconds);
        assert_eq!(idle_seconds(conn), 1);
    }
}

#[server_test(own_server)]
fn lock_whose_idle_timeout_cannot_be_raised_is_released(db: &Db) {
    let server = PrepareDisabledServer::start(db.kind());
    let conn = &mut server.conn();
    let name = LockName::named("job");
    name.lock().acquire(conn).unwrap().release().unwrap();
    server.disable_prepare();
    let error = name
        .lock()
        .keep_alive(Duration::from_secs(600))
        .acquire(conn)
        .unwrap_err();
    assert!(matches!(error, LockError::Database { .. }), "{error:?}");
    server.enable_prepare();
    assert_eq!(name.status(&mut server.conn()).unwrap(), LockStatus::Free);
}
