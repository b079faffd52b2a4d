//! An error before a statement runs does not end the connection.

#[blocking]
use std::sync::mpsc;
#[blocking]
use std::thread;
#[blocking]
use std::time::Duration;

use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::{blocking, both, server_test};

use super::support::{Client, Counter, Db, Path, lock_error, second_lock};
#[blocking]
use crate::api::SimpleConnection;
use crate::server::{Account, session_id};

/// Asserts that on each path the call fails at its reload after `break_it`, and succeeds on the
/// same connection after `repair`.
#[both]
pub(crate) async fn assert_keeps_the_connection(
    db: &Db,
    paths: impl Iterator<Item = Path>,
    client: impl AsyncFn(Path) -> Client,
    break_it: impl AsyncFn(&mut Client),
    repair: impl AsyncFn(&mut Client),
) {
    for path in paths {
        let client = &mut client(path).await;
        break_it(client).await;
        let session = client.session_id().await;
        for _ in 0..2 {
            let error = lock_error(client.run_on_counter(async |_, _| Ok(())).await);
            assert!(
                matches!(error, LockError::Database { .. }),
                "{path:?}: {error:?}"
            );
            assert_eq!(error.outcome(), Outcome::NothingHappened);
            assert_eq!(client.session_id().await, session, "{path:?}");
        }
        for name in [Counter { id: 1, value: 0 }.lock_name(), second_lock()] {
            assert_eq!(db.holder(&name).await, None, "{path:?}");
        }
        repair(client).await;
        let result = client
            .run_on_counter(async |_, conn| {
                assert_eq!(session_id(conn).await, session, "{path:?}");
                Ok(())
            })
            .await;
        assert_eq!(result, Ok(()), "{path:?}");
    }
}

#[server_test]
async fn reload_with_a_missing_column_keeps_the_connection(db: &Db) {
    db.counter(1).await;
    assert_keeps_the_connection(
        db,
        Path::essential(),
        async |path| path.client(db).await,
        async |_| db.execute("ALTER TABLE counters DROP COLUMN value").await,
        async |_| {
            db.execute("ALTER TABLE counters ADD COLUMN value BIGINT NOT NULL DEFAULT 0")
                .await
        },
    )
    .await;
}

#[server_test]
async fn reload_with_a_missing_table_keeps_the_connection(db: &Db) {
    db.counter(1).await;
    assert_keeps_the_connection(
        db,
        Path::essential(),
        async |path| path.client(db).await,
        async |_| db.execute("ALTER TABLE counters RENAME TO elsewhere").await,
        async |_| db.execute("ALTER TABLE elsewhere RENAME TO counters").await,
    )
    .await;
}

#[server_test]
async fn reload_without_the_privilege_keeps_the_connection(db: &Db) {
    db.counter(1).await;
    let account = Account::create_without_reads(db).await;
    account.allow_reads("counters").await;
    assert_keeps_the_connection(
        db,
        Path::essential(),
        async |path| path.client_at(&account.url()).await,
        async |_| account.forbid_reads("counters").await,
        async |_| account.allow_reads("counters").await,
    )
    .await;
}

/// Diesel caches the statement, and the server prepares it again by itself.
#[server_test(blocking)]
fn cached_reload_of_an_altered_table_does_not_hang(db: &Db) {
    db.counter(1);
    for path in Path::essential() {
        let mut client = path.client(db);
        let mut other = db.conn();
        let (done, ended) = mpsc::channel();
        // Not scoped, so that the case fails if the thread hangs.
        let worker = thread::spawn(move || {
            let mut call = || client.run_on_counter(|_, _| Ok(()));
            let mut alter = |how: &str| {
                let sql = format!("ALTER TABLE counters {how}");
                other.batch_execute(&sql).unwrap();
            };
            call().unwrap();
            alter("DROP COLUMN value");
            call().unwrap_err();
            alter("ADD COLUMN value BIGINT NOT NULL DEFAULT 0");
            done.send(call()).unwrap();
        });
        let last = ended.recv_timeout(Duration::from_secs(20));
        // A plain connection cannot be used after its session was ended.
        let last = last.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(last.is_ok() || !path.is_from_pool(), "{path:?}: {last:?}");
        worker.join().unwrap();
        db.wait_until_paths_are_free(&format!("{path:?}"));
    }
}
