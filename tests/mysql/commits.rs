//! A COMMIT that fails. It is a prepared statement.

use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::prepare_disabled::PrepareDisabledServer;
use crate::server::{self, Conn, is_mariadb, session_id};
use crate::suite::support::{Counter, Db, wait_until};

/// While another session has blocked all COMMITs, one is killed.
#[server_test(own_server)]
fn killed_commit_is_rolled_back_and_its_session_commits_later(db: &Db) {
    let (block, unblock) = match is_mariadb(db) {
        true => (
            "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT",
            "BACKUP STAGE END",
        ),
        false => ("FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"),
    };
    let server = PrepareDisabledServer::start(db.kind());
    let url = server.url_with_counter();
    let connect = || Conn::establish(&url).unwrap();
    let (conn, blocker) = (&mut connect(), &mut connect());
    let session = session_id(conn);
    let mut counter = Counter { id: 1, value: 0 };
    for expected in [1, 2] {
        let result: QueryResult<()> = thread::scope(|scope| {
            counter.lock().transaction(conn, |counter, conn| {
                counter.add_one(conn)?;
                blocker.batch_execute(block)?;
                scope.spawn(|| kill_waiting(&mut connect(), session));
                Ok(())
            })
        });
        blocker.batch_execute(unblock).unwrap();
        let error = LockError::try_from(result.unwrap_err()).unwrap();
        assert_eq!(error.outcome(), Outcome::RolledBack, "{error:?}");
        let result = counter.lock().transaction(conn, |counter, conn| {
            counter.add_one(conn)?;
            QueryResult::Ok(counter.value)
        });
        assert_eq!(result, Ok(expected));
        assert_eq!(session_id(conn), session);
    }
}

/// Kills the statement of a session as soon as it waits.
fn kill_waiting(killer: &mut Conn, session: i64) {
    let waits = diesel::dsl::sql::<BigInt>(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for%' AND ID = ",
    )
    .bind::<BigInt, _>(session);
    wait_until("the COMMIT waits", || {
        waits.clone().get_result::<i64>(killer).unwrap() == 1
    });
    server::kill_statement(killer, session).unwrap();
}
