//! Errors of MySQL and MariaDB that keep the connection, and errors that end its session.

use std::thread;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::prepare_disabled::PrepareDisabledServer;
use crate::server::{self, session_id};
use crate::suite::healthy_connections::assert_keeps_the_connection;
use crate::suite::support::{Client, Db, Path, lock_error, wait_until};

#[server_test]
fn reload_of_a_table_outside_lock_tables_keeps_the_connection(db: &Db) {
    db.counter(1);
    let execute = |client: &mut Client, sql: &str| {
        client.with(|conn| conn.batch_execute(sql).unwrap());
    };
    assert_keeps_the_connection(
        db,
        // BEGIN would end `LOCK TABLES`.
        Path::essential_runs(),
        |path| path.client(db),
        |client| execute(client, "LOCK TABLES documents READ"),
        |client| execute(client, "UNLOCK TABLES"),
    );
}

#[server_test(own_server)]
fn acquire_that_cannot_be_prepared_keeps_the_connection(db: &Db) {
    let server = PrepareDisabledServer::start(db.kind());
    let url = server.url_with_counter();
    for path in Path::essential() {
        let client = &mut path.client_at(&url);
        let session = client.session_id();
        server.disable_prepare();
        let error = lock_error(client.run_on_counter(|_, _| Ok(())));
        server.enable_prepare();
        assert!(
            matches!(error, LockError::Database { .. }),
            "{path:?}: {error:?}"
        );
        assert_eq!(error.outcome(), Outcome::NothingHappened);
        let result = client.run_on_counter(|_, conn| {
            assert_eq!(session_id(conn), session, "{path:?}");
            Ok(())
        });
        assert_eq!(result, Ok(()), "{path:?}");
    }
}

/// The reload may have run, and libmariadb hangs when such a statement runs again.
#[server_test]
fn killed_reload_ends_the_session(db: &Db) {
    db.counter(1);
    let blocking = &mut db.conn();
    for path in Path::essential() {
        let client = &mut path.client(db);
        let session = client.session_id();
        server::block_table(blocking, "counters");
        let error = thread::scope(|scope| {
            let waiting = scope.spawn(|| client.run_on_counter(|_, _| Ok(())));
            wait_until("the reload waits for its table", || {
                server::is_in_state(&mut db.conn(), session, "Waiting for table metadata lock")
            });
            db.kill_statement(session);
            waiting.join().unwrap().unwrap_err()
        });
        server::unblock_tables(blocking);
        let error = LockError::try_from(error).unwrap();
        assert_eq!(error.outcome(), Outcome::NothingHappened, "{error:?}");
        db.wait_until_paths_are_free(&format!("{path:?}"));
        wait_until("the session has ended", || !db.has_session(session));
    }
}
