//! `diesel-lock list`.

use std::thread;

use diesel_advisory_lock::LockName;
use serde_json::Value;
use server_test::server_test;
use test_server::ServerKind;

use crate::support::{Db, Ran, program};

#[server_test]
fn a_pipe_gets_a_line_of_fields_for_each_lock(db: &Db) {
    let name = LockName::named("pipe");
    let mut holder = db.hold(&name);
    let ran = db.run(&["list"]).assert_code(0);
    let listed = db.listed(&name);
    let fields = ran.line(&listed);
    assert_eq!(fields.len(), 7, "{ran:?}");
    let schema = if db.kind.is_postgres() { "-" } else { &db.name };
    let id = holder.id().to_string();
    assert_eq!(fields[1..4], [schema, "exclusive", &id]);
    assert!(fields[4].starts_with("root@"), "{ran:?}");
    assert!(
        fields[5].parse::<u64>().is_ok_and(|ms| ms < 60_000),
        "{ran:?}"
    );
    assert_eq!(fields[6], "-");
    assert_eq!(ran.err, "");
}

#[server_test]
fn names_are_not_cut_in_a_pipe(db: &Db) {
    let name = LockName::named("x".repeat(54));
    let _holder = db.hold(&name);
    let ran = Ran::of(
        program(&["list"])
            .env("DATABASE_URL", db.url())
            .env("COLUMNS", "20"),
    );
    assert_eq!(ran.line(&db.listed(&name)).len(), 7);
}

#[server_test]
fn json_has_the_documented_fields_and_the_waiter(db: &Db) {
    let name = LockName::named("json");
    let mut holder = db.hold(&name);
    let mut waiter = db.conn();
    let waiters_id = waiter.id();
    let ran = thread::scope(|scope| {
        scope.spawn(|| waiter.run_under(&name));
        db.wait_until_blocked(waiters_id);
        let ran = db.run(&["list", "--json"]);
        holder.release_all();
        ran.assert_code(0)
    });
    let locks: Vec<Value> = serde_json::from_str(&ran.out).expect("JSON");
    // The waiter's statement tells the name on PostgreSQL.
    let full_name = db.full_name(&name);
    let lock = locks.iter().find(|lock| lock["name"] == *full_name);
    let lock = lock.unwrap_or_else(|| panic!("{ran:?}"));
    let mut fields: Vec<_> = lock.as_object().expect("an object").keys().collect();
    fields.sort_unstable();
    let expected = [
        "held_is_exact",
        "held_ms",
        "holders",
        "mode",
        "name",
        "postgres_key",
        "schema",
        "waiters",
    ];
    assert_eq!(fields, expected);
    assert_eq!(lock["held_is_exact"], db.kind == ServerKind::Mariadb);
    assert!(lock["held_ms"].is_u64(), "{ran:?}");
    if db.kind.is_postgres() {
        assert_eq!(lock["postgres_key"], name.postgres_key("").to_string());
        assert_eq!(lock["schema"], "");
    } else {
        assert_eq!(lock["postgres_key"], Value::Null);
        assert_eq!(lock["schema"], *db.name);
    }
    assert_eq!(lock["holders"][0]["connection"], holder.id());
    assert_eq!(lock["holders"][0]["user"], "root");
    assert_eq!(lock["holders"][0]["state"], "idle");
    assert_eq!(lock["waiters"][0]["connection"], waiters_id);
    assert_eq!(lock["waiters"][0]["state"], "statement");
    assert!(lock["waiters"][0]["state_ms"].is_u64(), "{ran:?}");
    // Statements may contain personal data.
    assert!(!ran.out.contains("\"statement\":"), "{ran:?}");
}

#[server_test]
fn statements_are_printed_on_demand(db: &Db) {
    let name = LockName::named("statements");
    let _holder = db.hold(&name);
    let mut waiter = db.conn();
    let waiters_id = waiter.id();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waiter.run_under(&name));
        db.wait_until_blocked(waiters_id);
        let ran = db.run(&["list", "--json", "--statements"]).assert_code(0);
        assert!(ran.out.contains("\"statement\":"), "{ran:?}");
        db.run(&["end", &db.full_name(&name), "--yes"])
            .assert_code(0);
        waiting.join().expect("the lock");
    });
}

/// No other case holds locks there.
#[server_test(own_server)]
fn an_empty_list_says_so_and_succeeds(db: &Db) {
    let ran = db.run(&["list"]).assert_code(0);
    assert_eq!(
        (&*ran.out, &*ran.err),
        ("", "diesel-lock: no lock is held\n")
    );
    let ran = db.run(&["list", "--json"]).assert_code(0);
    assert_eq!((&*ran.out, &*ran.err), ("[]\n", ""));
}

/// A table, or blocks of lines where it would be too wide. `script` runs the program in a
/// pseudo-terminal.
#[server_test]
fn a_terminal_gets_text_that_fits(db: &Db) {
    let name = LockName::named("in-a-terminal");
    let _holder = db.hold(&name);
    let lines = |width: u32| {
        let command = format!(
            "stty cols {width} rows 40; '{}' list",
            env!("CARGO_BIN_EXE_diesel-lock")
        );
        let ran = Ran::of(
            std::process::Command::new("script")
                .args(["-qec", &command, "/dev/null"])
                .env("DATABASE_URL", db.url())
                .stdin(std::process::Stdio::null()),
        )
        .assert_code(0);
        ran.out
    };
    let listed = db.listed(&name);
    for width in [60, 160] {
        let text = lines(width);
        assert_eq!(text.contains('┌'), width == 160, "{text}");
        assert!(text.contains("held by"), "{text}");
        assert!(text.contains(&listed), "{text}");
        let longest = text.lines().map(|line| line.trim_end().chars().count());
        assert!(longest.max() <= Some(width as usize), "{text}");
    }
}
