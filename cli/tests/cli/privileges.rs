//! Accounts with few privileges: errors and notes name what is missing.

use diesel_advisory_lock::LockName;
use server_test::server_test;
use test_server::ServerKind;

use crate::support::Db;

/// Creates an account without privileges but for the database. Returns its URL.
fn weak_account(db: &Db) -> String {
    let name = &db.name;
    db.execute(&match db.kind.is_postgres() {
        true => format!("CREATE ROLE {name} LOGIN"),
        false => format!("CREATE USER {name}@'%'; GRANT ALL ON {name}.* TO {name}@'%'"),
    });
    db.url_as(name)
}

fn drop_account(db: &Db) {
    db.execute(&match db.kind.is_postgres() {
        true => format!("DROP ROLE {}", db.name),
        false => format!("DROP USER {}@'%'", db.name),
    });
}

#[cfg(feature = "mysql")]
#[server_test(mysql)]
fn list_names_the_grant(db: &Db) {
    let url = weak_account(db);
    for command in ["list", "watch"] {
        let ran = db.run_at(&url, &[command]).assert_code(2);
        let grant = "GRANT SELECT ON performance_schema.metadata_locks";
        assert!(ran.err.contains(grant), "{ran:?}");
    }
    drop_account(db);
}

#[cfg(feature = "mysql")]
#[server_test(mariadb, own_server)]
fn list_names_the_plugin(db: &Db) {
    db.execute("UNINSTALL SONAME 'metadata_lock_info'");
    let ran = db.run(&["list"]).assert_code(2);
    assert!(ran.err.contains("INSTALL SONAME"), "{ran:?}");
}

/// The holder of a lock is known to every account.
#[server_test]
fn holder_is_found_without_privileges(db: &Db) {
    let url = weak_account(db);
    let name = LockName::named("weak");
    let mut holder = db.hold(&name);
    let ran = db.run_at(&url, &["who", "=weak"]).assert_code(0);
    let id = holder.id().to_string();
    let line = ran.out.trim_end().split('\t').collect::<Vec<_>>();
    assert_eq!(line[3], id, "{ran:?}");
    let grant = match db.kind {
        ServerKind::Mysql => "GRANT SELECT ON performance_schema.threads",
        ServerKind::Mariadb => "GRANT PROCESS",
        _ => "GRANT pg_read_all_stats",
    };
    assert!(ran.err.contains(grant), "{ran:?}");
    drop_account(db);
}

#[server_test]
fn ending_a_session_of_another_account_names_the_grant(db: &Db) {
    let url = weak_account(db);
    let name = LockName::named("strong");
    let mut holder = db.hold(&name);
    let id = holder.id();
    let ran = db.run_at(&url, &["end", "=strong", "--yes"]).assert_code(2);
    let grant = match db.kind {
        ServerKind::Mysql => "GRANT CONNECTION_ADMIN",
        ServerKind::Mariadb => "GRANT CONNECTION ADMIN",
        _ => "GRANT pg_signal_backend",
    };
    assert!(ran.err.contains(grant), "{ran:?}");
    assert_eq!(holder.id(), id);
    drop_account(db);
}
