//! Clusters of real servers: whether locks exclude each other, and what `check_server` reports.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_advisory_lock::server::{Finding, ServerError, ServerReport};
use diesel_advisory_lock::{check_server, prelude::*};
use server_test::server_test;
use test_server::{Galera, Group, Server, ServerKind};

use crate::suite::support::{Db, wait_until};

fn connect(server: &Server) -> MysqlConnection {
    MysqlConnection::establish(&server.url("")).unwrap()
}

#[track_caller]
fn refused(conn: &mut MysqlConnection) -> ServerReport {
    match check_server(conn) {
        Err(ServerError::Refused { report, .. }) => *report,
        other => panic!("{other:?}"),
    }
}

/// Whether two servers grant the same lock at the same time.
fn both_grant_it(one: &mut MysqlConnection, other: &mut MysqlConnection) -> bool {
    let name = LockName::named("job").namespace("shared");
    let held = name.lock().acquire(one).unwrap();
    let granted = name.lock().try_acquire(other).unwrap().is_some();
    held.release().unwrap();
    granted
}

/// Asserts that a row that is written to one server can be read from the other.
fn assert_replicates(one: &mut MysqlConnection, other: &mut MysqlConnection) {
    one.batch_execute("CREATE DATABASE shared").unwrap();
    one.batch_execute("CREATE TABLE shared.facts (id INT PRIMARY KEY)")
        .unwrap();
    one.batch_execute("INSERT INTO shared.facts VALUES (42)")
        .unwrap();
    wait_until("the row is replicated", || {
        let rows = "(SELECT COUNT(*) FROM shared.facts WHERE id = 42)";
        diesel::select(diesel::dsl::sql::<BigInt>(rows)).get_result::<i64>(other) == Ok(1)
    });
}

#[server_test(mariadb, own_server)]
fn galera_is_refused_because_each_node_grants_the_lock(_db: &Db) {
    let cluster = Galera::start().unwrap();
    let [one, other] = cluster.nodes();
    let (one, other) = (&mut connect(one), &mut connect(other));
    assert_replicates(one, other);
    assert!(both_grant_it(one, other));
    for conn in [one, other] {
        let report = refused(conn);
        let [Finding::Galera { nodes, .. }] = report.findings() else {
            panic!("{report}");
        };
        assert_eq!(*nodes, Some(2));
        assert!(
            report
                .to_string()
                .contains("refused: a node of a Galera cluster of 2")
        );
    }
}

#[server_test(mysql, own_server)]
fn group_with_several_primaries_is_refused_because_each_grants_the_lock(_db: &Db) {
    let group = Group::start().unwrap();
    let [one, other] = group.members();
    let (one, other) = (&mut connect(one), &mut connect(other));
    other
        .batch_execute("RESET BINARY LOGS AND GTIDS; START GROUP_REPLICATION USER = 'root'")
        .unwrap();
    wait_until("both are primaries", || {
        let primaries = "(SELECT COALESCE(GROUP_CONCAT(MEMBER_STATE, MEMBER_ROLE), '') \
                         FROM performance_schema.replication_group_members)";
        let states: String = diesel::select(diesel::dsl::sql::<Text>(primaries))
            .get_result(one)
            .unwrap();
        states == "ONLINEPRIMARY,ONLINEPRIMARY"
    });
    assert_replicates(one, other);
    assert!(both_grant_it(one, other));
    for conn in [one, other] {
        assert_eq!(refused(conn).findings(), [Finding::SeveralPrimaries]);
    }
}

#[server_test(own_server)]
fn replica_is_reported_as_a_warning_because_it_grants_the_lock_too(db: &Db) {
    let kind = db.kind();
    let start = |id: u8| {
        let id = format!("--server-id={id}");
        Server::start_with(kind, &[&id, "--log-bin"]).unwrap()
    };
    let (source, replica) = (start(1), start(2));
    let port = source.port();
    let (one, other) = (&mut connect(&source), &mut connect(&replica));
    other
        .batch_execute(&match kind {
            ServerKind::Mariadb => format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, \
                 MASTER_USER = 'root', MASTER_USE_GTID = slave_pos; START SLAVE"
            ),
            _ => format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
                 SOURCE_USER = 'root', GET_SOURCE_PUBLIC_KEY = 1; START REPLICA"
            ),
        })
        .unwrap();
    assert_replicates(one, other);
    assert!(both_grant_it(one, other));
    assert_eq!(check_server(one).unwrap().findings(), []);
    assert_eq!(check_server(other).unwrap().findings(), [Finding::Replica]);
    // A former replica, which no longer looks like one.
    let cut_off = match kind {
        ServerKind::Mariadb => "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = ON",
        _ => "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL read_only = ON",
    };
    other.batch_execute(cut_off).unwrap();
    assert_eq!(check_server(other).unwrap().findings(), [Finding::ReadOnly]);
}
