//! `check_server` on single servers; `clusters.rs` has the others.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::server::{Finding, ServerCheck, ServerError, Vendor};
use diesel_advisory_lock::{check_server, prelude::*};
use server_test::server_test;
use test_server::Server;

use crate::server::{Account, is_mariadb, session_id};
use crate::suite::support::Db;

const HOUR: Duration = Duration::from_secs(3_600);

#[server_test]
fn check_of_a_single_server_passes(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("SET SESSION wait_timeout = 1234")
        .unwrap();
    let report = check_server(conn).unwrap();
    let vendor = match is_mariadb(db) {
        true => Vendor::MariaDb,
        false => Vendor::MySql,
    };
    assert_eq!(report.vendor(), vendor);
    assert!(report.version().starts_with(char::is_numeric));
    assert_eq!(report.wait_timeout(), Some(Duration::from_secs(1234)));
    assert_eq!(report.findings(), []);
    let text = report.to_string();
    assert!(text.starts_with(&vendor.to_string()), "{text}");
    assert!(
        text.contains("locks hold here") && text.contains("1234s"),
        "{text}"
    );
}

#[server_test]
fn session_without_autocommit_is_refused(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("SET autocommit = 0").unwrap();
    let error = check_server(conn).unwrap_err();
    let report = error.report().expect("a report");
    assert_eq!(report.findings(), [Finding::AutocommitOff]);
    assert!(
        error
            .to_string()
            .contains("refused: this session has autocommit off")
    );
}

#[server_test]
fn session_with_completion_type_chain_or_release_is_refused(db: &Db) {
    for (expected, consequence) in [
        ("CHAIN", "every COMMIT starts another transaction"),
        ("RELEASE", "every COMMIT ends the session"),
    ] {
        let conn = &mut db.conn();
        conn.batch_execute(&format!("SET completion_type = '{expected}'"))
            .unwrap();
        let error = check_server(conn).unwrap_err();
        let report = error.report().expect("a report");
        let [finding @ Finding::CompletionType { value, .. }] = report.findings() else {
            panic!("{report}");
        };
        assert_eq!(value, expected);
        assert!(finding.is_refusal());
        assert!(finding.to_string().contains(consequence), "{finding}");
        conn.batch_execute("SET completion_type = NO_CHAIN")
            .unwrap();
        assert_eq!(check_server(conn).unwrap().findings(), []);
    }
}

#[server_test]
fn short_idle_timeout_is_reported_as_a_warning(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("SET SESSION wait_timeout = 3599")
        .unwrap();
    let check = |longest, conn: &mut MysqlConnection| {
        let report = ServerCheck::new().keep_alive(longest).run(conn).unwrap();
        report.findings().to_vec()
    };
    assert_eq!(check(Duration::from_secs(3_599), conn), []);
    let found = check(HOUR, conn);
    let [finding @ Finding::ShortWaitTimeout { .. }] = &found[..] else {
        panic!("{found:?}");
    };
    let text = finding.to_string();
    assert!(text.contains("3599s") && text.contains("3600s"), "{text}");
    if is_mariadb(db) {
        conn.batch_execute("SET SESSION wait_timeout = 9999, idle_transaction_timeout = 60")
            .unwrap();
        let found = check(HOUR, conn);
        let [Finding::ShortIdleTransactionTimeout { variable, .. }] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(variable, "idle_transaction_timeout");
        assert_eq!(check(Duration::from_secs(60), conn), []);
    }
}

#[server_test]
fn missing_privilege_is_reported_with_its_grant(db: &Db) {
    let account = Account::create(db);
    let conn = &mut account.conn();
    let report = check_server(conn).unwrap();
    let [finding @ Finding::Unchecked { .. }] = report.findings() else {
        panic!("{report}");
    };
    let grant = match is_mariadb(db) {
        true => "SLAVE MONITOR ON *.*",
        false => "SELECT ON performance_schema.replication_connection_configuration",
    };
    let text = finding.to_string();
    assert!(
        text.contains(&format!("GRANT {grant} TO <account>")),
        "{text}"
    );
    account.grant(grant);
    let report = check_server(&mut account.conn()).unwrap();
    assert_eq!(report.findings(), []);
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

/// Every query of the check that reads a table fails with error 1104 in such a session.
#[server_test]
fn check_server_under_max_join_size_1_returns_the_usual_report(db: &Db) {
    let (limited, account) = (&mut db.conn(), Account::create(db));
    let unprivileged = &mut account.conn();
    let usual = check_server(limited).unwrap();
    let usual_of_unprivileged = check_server(unprivileged).unwrap();
    for conn in [&mut *limited, &mut *unprivileged] {
        conn.batch_execute("SET max_join_size = 1, sql_big_selects = 0")
            .unwrap();
        let tables = diesel::sql_query("SELECT * FROM information_schema.TABLES").execute(conn);
        assert!(tables.unwrap_err().to_string().contains("MAX_JOIN_SIZE"));
    }
    assert_eq!(check_server(limited).unwrap(), usual);
    assert_eq!(check_server(unprivileged).unwrap(), usual_of_unprivileged);
    limited.batch_execute("SET autocommit = 0").unwrap();
    let report = check_server(limited).unwrap_err();
    let report = report.report().expect("a report");
    assert_eq!(report.findings(), [Finding::AutocommitOff]);
}

/// A server with `lower_case_table_names=1`, and two connections to its schema `Shop`, which has
/// the table `Users`.
fn case_insensitive(db: &Db) -> (Server, MysqlConnection, MysqlConnection) {
    let server =
        Server::start_initialised_with(db.kind(), &["--lower-case-table-names=1"]).unwrap();
    let mut conn = MysqlConnection::establish(&server.url("")).unwrap();
    conn.batch_execute("CREATE DATABASE Shop; CREATE TABLE Shop.Users (id INT PRIMARY KEY)")
        .unwrap();
    conn.batch_execute("USE Shop").unwrap();
    let other = MysqlConnection::establish(&server.url("Shop")).unwrap();
    (server, conn, other)
}

mod spelled {
    pub(super) mod lower {
        diesel::table! { users (id) { id -> Integer, } }
    }

    pub(super) mod upper {
        diesel::table! { #[sql_name = "Users"] users (id) { id -> Integer, } }
    }

    pub(super) mod with_lower_schema {
        diesel::table! { shop.users (id) { id -> Integer, } }
    }

    pub(super) mod with_upper_schema {
        diesel::table! { Shop.users (id) { id -> Integer, } }
    }
}

#[server_test(own_server)]
fn lower_case_table_names_1_is_reported_as_a_warning(db: &Db) {
    let (_server, mut one, mut other) = case_insensitive(db);
    let report = check_server(&mut one).unwrap();
    let [finding @ Finding::CaseInsensitiveTableNames { .. }] = report.findings() else {
        panic!("{report}");
    };
    assert!(!finding.is_refusal());
    let text = finding.to_string();
    assert!(text.contains("`lower_case_table_names` is 1"), "{text}");
    assert!(text.contains("lower case, in every `table!`"), "{text}");
    // The reason for the warning: two sessions hold a lock for the same row at once.
    let row = LockName::row(spelled::lower::users::table, 1);
    let held = row.lock().acquire(&mut one).unwrap();
    for spelled_otherwise in [
        LockName::row(spelled::upper::users::table, 1),
        LockName::row(spelled::with_upper_schema::users::table, 1),
    ] {
        let granted = spelled_otherwise.lock().try_acquire(&mut other).unwrap();
        granted.expect("another lock").release().unwrap();
    }
    held.release().unwrap();
}

/// Whatever the case of the schema's name in the connection's URL or in `USE`.
#[server_test(own_server)]
fn tables_in_lower_case_have_one_lock_under_lower_case_table_names_1(db: &Db) {
    let (_server, mut one, mut other) = case_insensitive(db);
    let row = LockName::row(spelled::lower::users::table, 1);
    let held = row.lock().acquire(&mut one).unwrap();
    for name in [
        row,
        LockName::row(spelled::with_lower_schema::users::table, 1),
    ] {
        assert!(
            name.lock().try_acquire(&mut other).unwrap().is_none(),
            "{name}"
        );
    }
    held.release().unwrap();
}
