//! `diesel-lock who`.

use diesel_advisory_lock::LockName;
use server_test::server_test;

use crate::support::Db;

#[server_test]
fn held_lock_is_found_by_each_of_its_names(db: &Db) {
    let name = LockName::named("who");
    let mut holder = db.hold(&name);
    let id = holder.id().to_string();
    let full_name = db.full_name(&name);
    let mut arguments = vec![vec![&*full_name], vec!["=who"], vec!["who", "--named"]];
    let key = name.postgres_key("").to_string();
    if db.kind.is_postgres() {
        arguments.push(vec![&key]);
    }
    for names in arguments {
        let ran = db.run(&[&["who"], &*names].concat()).assert_code(0);
        let printed = if names == [&key] { &key } else { &full_name };
        assert_eq!(ran.line(printed)[3], id, "{ran:?}");
    }
}

#[server_test]
fn free_lock_returns_one(db: &Db) {
    let ran = db.run(&["who", "=nothing-holds-this"]).assert_code(1);
    assert_eq!(ran.out, "");
    assert!(ran.err.ends_with("is free\n"), "{ran:?}");
    let ran = db.run(&["who", "=nothing-holds-this", "--json"]);
    assert_eq!(ran.assert_code(1).out, "[]\n");
}

/// The schema is that in which the connection finds the table.
#[server_test]
fn row_is_found_in_the_schema_of_the_connection(db: &Db) {
    db.execute("CREATE TABLE documents (name VARCHAR(50) PRIMARY KEY)");
    let documents = diesel_dynamic_schema::table("documents".to_owned());
    let name = LockName::row_unchecked(documents, "Alice");
    let mut holder = db.conn();
    let full_name = name.full_name(db.schema());
    holder.acquire_raw(&full_name, name.postgres_key(db.schema()));
    let hashed = name.to_string();
    db.run(&["who", "documents", "--row", "Alice"])
        .assert_code(0);
    db.run(&["who", &hashed, "--schema", db.schema()])
        .assert_code(0);
    db.run(&["who", "documents", "--row", "alice"])
        .assert_code(1);
}

#[cfg(feature = "postgres")]
#[server_test(postgres, postgres18)]
fn a_row_of_an_unknown_table_is_an_error(db: &Db) {
    let ran = db.run(&["who", "documents:42"]).assert_code(2);
    assert!(ran.err.contains("no table `documents`"), "{ran:?}");
    db.run(&["who", "documents:42", "--schema", "app"])
        .assert_code(1);
}

#[cfg(feature = "postgres")]
#[server_test(postgres, postgres18)]
fn sessions_that_share_a_lock_are_listed(db: &Db) {
    let (mut one, mut other) = (db.conn(), db.conn());
    for conn in [&mut one, &mut other] {
        conn.execute("SELECT pg_advisory_lock_shared(7, -2)");
    }
    let ran = db.run(&["who", "7,-2"]).assert_code(0);
    let fields = ran.line("(7, -2)");
    assert_eq!(fields[2], "shared");
    let mut ids = [one.id(), other.id()].map(|id| id.to_string());
    let mut listed: Vec<_> = fields[3].split(',').collect();
    ids.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, ids);
}

/// The lists of these servers have only names of this crate.
#[cfg(feature = "mysql")]
#[server_test(mariadb, mysql)]
fn lock_of_another_program_is_found_by_its_exact_name(db: &Db) {
    let name = format!("Job|{}", db.name);
    let mut holder = db.conn();
    holder.acquire_raw(&name, 0);
    let ran = db.run(&["who", &name]).assert_code(0);
    let id = holder.id().to_string();
    let fields = ran.line(&name);
    assert_eq!(fields[3], id);
    assert!(fields[4].starts_with("root@"), "{ran:?}");
    assert!(ran.err.contains("another program"), "{ran:?}");
    let ran = db.run(&["who", &name, "--exact"]).assert_code(0);
    assert_eq!(ran.err, "");
}
