//! `check_server` on single servers; `pgbouncer.rs` has the poolers.

use std::fs;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel_advisory_lock::check_server;
use diesel_advisory_lock::server::{Finding, ServerCheck, ServerError, Vendor};
use server_test::server_test;
use test_server::Server;

use crate::server::{Account, session_id};
use crate::suite::support::Db;

const HOUR: Duration = Duration::from_secs(3_600);

#[server_test]
fn check_of_a_single_server_passes(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("SET idle_session_timeout = 0").unwrap();
    assert_eq!(check_server(conn).unwrap().wait_timeout(), None);
    conn.batch_execute("SET idle_session_timeout = '1234s'")
        .unwrap();
    let report = check_server(conn).unwrap();
    assert_eq!(report.vendor(), Vendor::PostgreSql);
    assert!(report.version().starts_with(char::is_numeric));
    assert_eq!(report.wait_timeout(), Some(Duration::from_secs(1234)));
    assert_eq!(report.findings(), []);
    let text = report.to_string();
    assert!(text.starts_with("PostgreSQL ("), "{text}");
    assert!(
        text.contains("locks hold here") && text.contains("1234s (`idle_session_timeout`)"),
        "{text}"
    );
}

#[server_test]
fn check_needs_no_privilege(db: &Db) {
    let report = check_server(&mut Account::create(db).conn()).unwrap();
    assert_eq!(report.findings(), []);
}

#[server_test]
fn check_leaves_nothing_behind_in_the_session(db: &Db) {
    let conn = &mut db.conn();
    for _ in 0..2 {
        check_server(conn).unwrap();
    }
    let is_clean = sql::<Bool>(
        "coalesce(current_setting('diesel_advisory_lock.check', true), '') = '' \
         AND NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() \
         AND locktype = 'advisory')",
    );
    assert!(diesel::select(is_clean).get_result::<bool>(conn).unwrap());
    // The one of the check, which Diesel keeps. The one that asks is not kept.
    let prepared: i64 = diesel::select(sql::<BigInt>(
        "(SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%PGBOUNCER%')",
    ))
    .get_result(conn)
    .unwrap();
    assert_eq!(prepared, 1);
}

#[server_test]
fn statement_timeout_below_a_second_is_reported_as_a_warning(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("SET statement_timeout = 999").unwrap();
    let report = check_server(conn).unwrap();
    let statement_timeout = Duration::from_millis(999);
    let [finding @ Finding::ShortStatementTimeout { .. }] = report.findings() else {
        panic!("{report}");
    };
    let text = finding.to_string();
    assert!(text.contains(&format!("{statement_timeout:?}")), "{text}");
    conn.batch_execute("SET statement_timeout = 1000").unwrap();
    assert_eq!(check_server(conn).unwrap().findings(), []);
}

#[server_test]
fn limits_below_the_keep_alive_are_reported_as_warnings(db: &Db) {
    let conn = &mut db.conn();
    let check = |keep_alive, conn: &mut PgConnection| {
        let report = ServerCheck::new().keep_alive(keep_alive).run(conn);
        report.unwrap().findings().to_vec()
    };
    for setting in limits(conn) {
        conn.batch_execute(&format!("SET {setting} = '3599s'"))
            .unwrap();
        assert_eq!(check(Duration::from_secs(3_599), conn), []);
        let found = check(HOUR, conn);
        let [finding] = &found[..] else {
            panic!("{setting}: {found:?}");
        };
        let text = finding.to_string();
        for part in ["3599s", "3600s", "`.keep_alive(..)`", &setting] {
            assert!(text.contains(part), "{text}");
        }
        conn.batch_execute(&format!("SET {setting} = 0")).unwrap();
        assert_eq!(check(HOUR, conn), []);
    }
}

/// The limits that the server has: 17 and later have three.
fn limits(conn: &mut PgConnection) -> Vec<String> {
    super::keep_alive::limits(conn)
}

#[server_test]
fn check_on_a_dead_connection_returns_an_error(db: &Db) {
    let conn = &mut db.conn();
    let id = session_id(conn);
    db.kill_session(id);
    let error = check_server(conn).unwrap_err();
    assert!(matches!(error, ServerError::Database { .. }), "{error:?}");
    assert!(error.report().is_none());
}

#[server_test(own_server)]
fn little_room_for_locks_is_reported_as_a_warning(db: &Db) {
    let server = Server::start_with(db.kind(), &["-c", "max_connections=20"]).unwrap();
    let report = check_server(&mut PgConnection::establish(&server.url("")).unwrap()).unwrap();
    let [finding @ Finding::FewLocks { locks: 1_280, .. }] = report.findings() else {
        panic!("{report}");
    };
    let text = finding.to_string();
    assert!(text.contains("raise `max_locks_per_transaction`"), "{text}");
}

#[server_test(own_server)]
fn standby_is_reported_as_a_replica(db: &Db) {
    let server = Server::start(db.kind()).unwrap();
    let conn = || PgConnection::establish(&server.url("")).unwrap();
    assert_eq!(check_server(&mut conn()).unwrap().findings(), []);
    server.stop();
    fs::write(server.directory().join("data/standby.signal"), "").unwrap();
    server.start_again().unwrap();
    let report = check_server(&mut conn()).unwrap();
    assert_eq!(report.findings(), [Finding::Replica]);
}
