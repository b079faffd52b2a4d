//! What the library returns when MySQL or MariaDB cannot report locks or their holders.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::inspect::{self, InspectError};
use diesel_advisory_lock::{LockStatus, prelude::*};
use server_test::server_test;
use test_server::Server;

use crate::prepare_disabled::PrepareDisabledServer;
use crate::server::{self, Account, is_mariadb};
use crate::suite::support::Db;

#[server_test(own_server)]
fn failed_look_up_of_the_holder_returns_timeout(db: &Db) {
    let server = PrepareDisabledServer::start(db.kind());
    let (holder, waiter) = (&mut server.conn(), &mut server.conn());
    let name = LockName::named("job");
    name.lock().acquire(waiter).unwrap().release().unwrap();
    let held = name.lock().acquire(holder).unwrap();
    server.disable_prepare();
    let error = name.lock().no_wait().acquire(waiter).unwrap_err();
    assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
    assert_eq!(error.holder(), None);
    assert!(error.to_string().contains("another session holds it"));
    server.enable_prepare();
    held.release().unwrap();
    name.lock().acquire(waiter).unwrap().release().unwrap();
}

/// Tests the text that a look-up begins with, because a case cannot make the process list slow.
#[server_test]
fn look_up_of_the_holder_is_limited_in_time(db: &Db) {
    const LIMITED: &str = "/*M!100100 SET STATEMENT max_statement_time = 1 FOR */ SELECT /*+ MAX_EXECUTION_TIME(1000) */ ";
    let library = include_str!("../../src/backend/mysql/inspect.rs").replace("\\\n         ", "");
    assert!(
        library.contains(&format!("\"{LIMITED}\"")),
        "the look-up begins with another text"
    );
    let conn = &mut db.conn();
    let start = Instant::now();
    let slow = diesel::sql_query(format!("{LIMITED}SLEEP(20)")).execute(conn);
    // MySQL's SLEEP returns that it was interrupted. MariaDB's statement fails.
    assert_eq!(slow.is_err(), is_mariadb(db), "{slow:?}");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// The namespace is the schema in which a connection first acquires a lock, not that in which it
/// first asks for a status.
#[server_test]
fn status_does_not_fix_the_namespace(db: &Db) {
    let conn = &mut db.conn_without_schema();
    let name = LockName::named(format!("{} job", db.schema));
    assert_eq!(name.status(conn).unwrap(), LockStatus::Free);
    conn.batch_execute(&format!("USE {}", db.schema)).unwrap();
    let held = name.lock().acquire(conn).unwrap();
    assert_eq!(
        name.status(&mut db.conn()).unwrap(),
        LockStatus::HeldBy {
            connection_id: db.holder(&name).unwrap().try_into().unwrap()
        }
    );
    held.release().unwrap();
}

#[server_test(mariadb, own_server)]
fn held_locks_without_the_plugin_returns_missing_plugin(db: &Db) {
    let server = Server::start(db.kind()).unwrap();
    let conn = &mut MysqlConnection::establish(&server.url("")).unwrap();
    let error = inspect::held_locks(conn).unwrap_err();
    assert!(
        matches!(error, InspectError::MissingPlugin { .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("INSTALL SONAME 'metadata_lock_info'")
    );
    conn.batch_execute("INSTALL SONAME 'metadata_lock_info'")
        .unwrap();
    assert_eq!(inspect::held_locks(conn).unwrap(), []);
}

#[server_test(mysql, own_server)]
fn held_locks_without_a_grant_or_an_instrument_returns_what_is_missing(db: &Db) {
    let server = Server::start(db.kind()).unwrap();
    let conn = &mut MysqlConnection::establish(&server.url("")).unwrap();
    assert_eq!(inspect::held_locks(conn).unwrap(), []);
    let account = Account::create(db);
    let unprivileged = &mut account.conn();
    let denied = |conn: &mut MysqlConnection| {
        let error = inspect::held_locks(conn).unwrap_err();
        assert!(
            matches!(error, InspectError::MissingGrant { .. }),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("GRANT SELECT ON performance_schema.threads")
        );
    };
    denied(unprivileged);
    for table in ["metadata_locks", "threads"] {
        denied(unprivileged);
        account.grant(&format!("SELECT ON performance_schema.{table}"));
    }
    inspect::held_locks(unprivileged).unwrap();

    conn.batch_execute(
        "UPDATE performance_schema.setup_instruments SET ENABLED = 'NO' \
         WHERE NAME = 'wait/lock/metadata/sql/mdl'",
    )
    .unwrap();
    let error = inspect::held_locks(conn).unwrap_err();
    assert!(
        matches!(error, InspectError::NotRecorded { .. }),
        "{error:?}"
    );
    let off = Server::start_with(db.kind(), &["--performance-schema=OFF"]).unwrap();
    let error =
        inspect::held_locks(&mut MysqlConnection::establish(&off.url("")).unwrap()).unwrap_err();
    assert!(
        matches!(error, InspectError::NotRecorded { .. }),
        "{error:?}"
    );
}

/// Sessions that each hold one lock, from `job-00` on.
fn hold_many(server: &Server, many: usize) -> Vec<MysqlConnection> {
    let hold = |number| {
        let mut conn = MysqlConnection::establish(&server.url("")).unwrap();
        let full_name = LockName::named(format!("job-{number:02}")).full_name("");
        conn.batch_execute(&format!("DO GET_LOCK('{full_name}', 0)"))
            .unwrap();
        conn
    };
    (0..many).map(hold).collect()
}

#[server_test(mysql)]
fn held_locks_on_a_full_metadata_table_returns_incomplete(db: &Db) {
    const LIMIT: &str = "--performance-schema-max-metadata-locks=25";
    let server = Server::start_with(db.kind(), &[LIMIT]).unwrap();
    let holders = hold_many(&server, 64);
    let watching = &mut MysqlConnection::establish(&server.url("")).unwrap();
    let error = inspect::held_locks(watching).unwrap_err();
    let text = error.to_string();
    let InspectError::Incomplete {
        held, lost, remedy, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!((1..=25).contains(&held.len()), "{}", held.len());
    assert!(lost >= 64 - 25, "{lost}");
    assert!(held.is_sorted_by_key(|lock| lock.name.as_str().to_owned()));
    assert!(remedy.contains("performance_schema_max_metadata_locks"));
    for part in [&lost.to_string(), &held.len().to_string(), remedy] {
        assert!(text.contains(part), "{text}");
    }
    let again = |conn: &mut MysqlConnection| {
        let error = inspect::held_locks(conn).unwrap_err();
        assert!(
            matches!(error, InspectError::Incomplete { .. }),
            "{error:?}"
        );
    };
    // The table is still full, so the query itself loses an entry.
    watching.batch_execute("FLUSH STATUS").unwrap();
    again(watching);
    // The counter does not fall when locks are released.
    drop(holders);
    again(watching);
}

/// Not `NotRecorded`, whose remedy would not help.
#[server_test(mysql)]
fn held_locks_with_metadata_table_size_0_returns_incomplete(db: &Db) {
    const LIMIT: &str = "--performance-schema-max-metadata-locks=0";
    let server = Server::start_with(db.kind(), &[LIMIT]).unwrap();
    let _holders = hold_many(&server, 1);
    let watching = &mut MysqlConnection::establish(&server.url("")).unwrap();
    let error = inspect::held_locks(watching).unwrap_err();
    let InspectError::Incomplete { held, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(held, []);
}

#[server_test(own_server)]
fn held_locks_under_max_join_size_1_returns_the_locks(db: &Db) {
    server::enable_lock_inspection(&mut db.conn(), db.kind());
    let (holder, watching) = (&mut db.conn(), &mut db.conn());
    let held = LockName::named("job").lock().acquire(holder).unwrap();
    watching
        .batch_execute("SET max_join_size = 1, sql_big_selects = 0")
        .unwrap();
    let found = inspect::held_locks(watching).unwrap();
    assert!(found.iter().any(|lock| lock.name.is_in(&db.schema)));
    held.release().unwrap();
}
