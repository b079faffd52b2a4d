//! `diesel-lock check`.

use server_test::server_test;

use crate::support::Db;

#[server_test]
fn good_server_returns_zero(db: &Db) {
    let ran = db.run(&["check"]).assert_code(0);
    assert!(ran.out.contains("locks hold here"), "{ran:?}");
}

/// A session that is idle for a week is ended before.
#[cfg(feature = "mysql")]
#[server_test(mariadb, mysql)]
fn warning_returns_three_if_strict(db: &Db) {
    let week = ["check", "--keep-alive", "7days"];
    let ran = db.run(&week).assert_code(0);
    assert!(ran.out.contains("warning: "), "{ran:?}");
    let ran = db.run(&[&week[..], &["--strict"]].concat()).assert_code(3);
    assert!(ran.out.contains("wait_timeout"), "{ran:?}");
    db.run(&["check", "--keep-alive", "1m", "--strict"])
        .assert_code(0);
}

#[cfg(feature = "postgres")]
#[server_test(postgres, postgres18)]
fn warnings_return_three_if_strict(db: &Db) {
    let sql = "ALTER DATABASE {} SET idle_session_timeout = '5min'";
    db.execute(&sql.replace("{}", &db.name));
    let hour = ["check", "--keep-alive", "1h"];
    let ran = db.run(&hour).assert_code(0);
    assert!(ran.out.contains("idle_session_timeout"), "{ran:?}");
    db.run(&[&hour[..], &["--strict"]].concat()).assert_code(3);
}

#[cfg(feature = "mysql")]
#[server_test(mariadb, mysql, own_server)]
fn refusal_returns_one(db: &Db) {
    db.execute("SET GLOBAL completion_type = 'CHAIN'");
    let ran = db.run(&["check"]).assert_code(1);
    assert!(ran.out.contains("refused: "), "{ran:?}");
    assert!(!ran.out.contains("locks hold here"), "{ran:?}");
}
