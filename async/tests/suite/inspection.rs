//! `check_server`.

use diesel_advisory_lock_async::check_server;
use server_test::server_test;

use super::support::Db;

#[server_test]
fn server_of_the_tests_is_accepted(db: &Db) {
    db.run(async {
        let report = check_server(&mut db.conn().await).await.unwrap();
        assert!(!report.version().is_empty());
    });
}
