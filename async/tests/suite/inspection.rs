//! `inspect` and `check_server`.

use diesel_advisory_lock_async::prelude::*;
use diesel_advisory_lock_async::{LockStatus, check_server, inspect};
use server_test::server_test;

use super::support::Db;
use crate::server;

#[server_test]
fn held_lock_is_reported_with_its_holder(db: &Db) {
    db.run(async {
        let (mut one, mut two) = (db.conn().await, db.conn().await);
        let session = server::session_id(&mut one).await;
        let name = LockName::named("job");
        let free = inspect::status(&name, &mut two).await.unwrap();
        assert!(matches!(free, LockStatus::Free), "{free:?}");
        let held = name.lock().acquire(&mut one).await.unwrap();
        let status = inspect::status(&name, &mut two).await.unwrap();
        let text = format!("{status:?}");
        assert!(
            text.contains(&format!("connection_id: {session}")),
            "{text}"
        );
        held.release().await.unwrap();
    });
}

#[server_test]
fn server_of_the_tests_is_accepted(db: &Db) {
    db.run(async {
        let report = check_server(&mut db.conn().await).await.unwrap();
        assert!(!report.version().is_empty());
    });
}
