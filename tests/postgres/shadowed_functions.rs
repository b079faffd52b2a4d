//! Functions of another schema that precedes `pg_catalog` on the search path.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::LockStatus;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::names::held_keys;
use crate::server::session_id;
use crate::suite::support::{Counter, Db, Path};

/// Functions that pretend to do what those of the server do.
const SHADOWS: &str = "CREATE SCHEMA shadow; SET search_path = shadow, pg_catalog;
     CREATE FUNCTION pg_try_advisory_lock(bigint) RETURNS bool LANGUAGE sql AS 'SELECT true';
     CREATE FUNCTION pg_try_advisory_xact_lock(bigint) RETURNS bool LANGUAGE sql AS 'SELECT true';
     CREATE FUNCTION pg_advisory_lock(bigint) RETURNS void LANGUAGE sql AS '';
     CREATE FUNCTION pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS '';
     CREATE FUNCTION pg_advisory_unlock(bigint) RETURNS bool LANGUAGE sql AS 'SELECT true';
     CREATE FUNCTION pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1';
     CREATE FUNCTION set_config(text, text, bool) RETURNS text LANGUAGE sql AS 'SELECT $2';
     CREATE FUNCTION current_setting(text, bool) RETURNS text LANGUAGE sql AS 'SELECT ''0''';
     CREATE FUNCTION current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT ''0''';
     CREATE FUNCTION sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT ''12345678''::bytea';
     CREATE FUNCTION to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL::regclass'";

#[server_test]
fn functions_that_shadow_the_servers_are_not_called_on_any_path(db: &Db) {
    let name = db.counter(1).lock_name();
    let observer = &mut db.conn();
    db.conn().batch_execute(SHADOWS).unwrap();
    let path_of_session = "SET search_path = shadow, pg_catalog, public";
    for path in Path::all() {
        let mut client = path.client(db);
        let id = client.session_id();
        client.with(|conn| conn.batch_execute(path_of_session).unwrap());
        let mut counter = Counter { id: 1, value: -1 };
        let run = client.run(&mut counter, |_, conn| {
            assert_eq!(db.holder(&name), Some(id), "{path:?}");
            let other = &mut db.conn();
            assert!(name.lock().try_acquire(other)?.is_none(), "{path:?}");
            // Re-entrant.
            name.lock().run(conn, |_, _| Ok::<_, LockError>(()))
        });
        run.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(held_keys(observer, id), [], "{path:?}");
    }
    let conn = &mut db.conn();
    let id = session_id(conn);
    conn.batch_execute(path_of_session).unwrap();
    let other = &mut db.conn();
    let held = name.lock().acquire(other).unwrap();
    assert_ne!(name.status(conn).unwrap(), LockStatus::Free);
    let request = name.lock().timeout(Duration::from_millis(50));
    let waited = request.run(conn, |_, _| Ok::<_, LockError>(()));
    assert!(
        matches!(waited, Err(LockError::Timeout { .. })),
        "{waited:?}"
    );
    held.release().unwrap();
    assert_eq!(held_keys(observer, id), []);
}
