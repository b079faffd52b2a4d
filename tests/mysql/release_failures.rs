//! Releases that fail by limits of MySQL and MariaDB leave no lock behind.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::LockStatus;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::prepare_disabled::PrepareDisabledServer;
use crate::server::{Conn, session_id};
use crate::suite::release_failures::StopOnDrop;
use crate::suite::support::{Counter, Db, Form, Path, Via, second_lock};

/// The server prepares no more statements while the closure runs.
#[server_test(own_server)]
fn release_that_cannot_be_prepared_frees_the_lock(db: &Db) {
    let server = PrepareDisabledServer::start(db.kind());
    let url = server.url_with_counter();
    let probe = &mut Conn::establish(&url).unwrap();
    let reader = Path {
        via: Via::Connection,
        form: Form::Run,
    };
    let mut reader = reader.client_at(&url);
    for (expected, path) in (1..).zip(Path::essential()) {
        let client = &mut path.client_at(&url);
        let before = client.session_id();
        let result = client.run_on_counter(|counter, conn| {
            counter.add_one(conn)?;
            server.disable_prepare();
            Ok(())
        });
        server.enable_prepare();
        assert_eq!(result, Ok(()), "{path:?}");
        for name in [Counter { id: 1, value: 0 }.lock_name(), second_lock()] {
            let status = name.status(probe).unwrap();
            assert_eq!(status, LockStatus::Free, "{path:?}");
        }
        assert_eq!(client.session_id(), before, "{path:?}");
        let value = reader.run_on_counter(|counter, _| {
            assert_eq!(counter.value, expected, "{path:?}");
            Ok(())
        });
        value.unwrap();
    }
}

/// The results of `RELEASE_LOCK` do not arrive.
#[server_test]
fn release_under_sql_select_limit_0_frees_the_lock(db: &Db) {
    db.counter(1);
    for path in Path::essential() {
        let client = &mut path.client(db);
        let result =
            client.run_on_counter(|_, conn| conn.batch_execute("SET sql_select_limit = 0"));
        assert_eq!(result, Ok(()), "{path:?}");
        for name in [Counter { id: 1, value: 0 }.lock_name(), second_lock()] {
            assert_eq!(db.holder(&name), None, "{path:?}");
        }
    }
}

/// MariaDB's `KILL QUERY` may stop the statement that ends a session.
#[server_test(serial)]
fn session_is_ended_while_its_statements_are_killed(db: &Db) {
    const ROUNDS: usize = 500;
    let name = &LockName::named("job");
    let (target, stop) = (&AtomicI64::new(0), &AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let killer = &mut db.conn();
                while !stop.load(Ordering::SeqCst) {
                    match target.load(Ordering::SeqCst) {
                        0 => thread::yield_now(),
                        // The session may be gone.
                        id => drop(diesel::sql_query(format!("KILL QUERY {id}")).execute(killer)),
                    }
                }
            });
        }
        let _stops = StopOnDrop(stop);
        for _ in 0..ROUNDS {
            let conn = &mut db.conn();
            let id = session_id(conn);
            // The session holds the lock twice, so it is ended.
            let run = name.lock().run(conn, |_, conn| {
                db.acquire_raw(conn, name);
                target.store(id, Ordering::SeqCst);
                Ok::<_, LockError>(())
            });
            target.store(0, Ordering::SeqCst);
            drop(run);
            db.wait_until_free(name);
        }
    });
}
