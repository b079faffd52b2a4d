//! Transactions that Diesel does not see and that MySQL or MariaDB report.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{OpenTransactionReason, Outcome};
use server_test::server_test;

use crate::server::is_mariadb;
use crate::suite::lock_pool_faults::in_front_of;
use crate::suite::support::{Counter, Db, Form, Path};
use crate::suite::test_transactions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    NoAutocommit,
    Chain,
    Release,
    RawBegin,
}

impl Unseen {
    /// The unseen transactions that a server of this kind reports.
    fn reported_by(db: &Db) -> Vec<Unseen> {
        let mut all = vec![Unseen::NoAutocommit, Unseen::Chain, Unseen::Release];
        if is_mariadb(db) {
            all.push(Unseen::RawBegin);
        }
        all
    }

    fn enter(self, conn: &mut MysqlConnection) {
        conn.batch_execute(match self {
            Unseen::NoAutocommit => "SET autocommit = 0",
            Unseen::Chain => "SET completion_type = 'CHAIN'",
            Unseen::Release => "SET completion_type = 'RELEASE'",
            Unseen::RawBegin => "BEGIN",
        })
        .unwrap();
    }

    fn reason(self) -> OpenTransactionReason {
        match self {
            Unseen::NoAutocommit => OpenTransactionReason::NoAutocommit,
            Unseen::Chain | Unseen::Release => OpenTransactionReason::CompletionType,
            Unseen::RawBegin => OpenTransactionReason::RawBegin,
        }
    }
}

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
}

/// Rolls back, and resets what [`Unseen::enter`] has set.
fn leave(conn: &mut MysqlConnection) {
    conn.batch_execute(
        "ROLLBACK AND NO CHAIN NO RELEASE; SET completion_type = 'NO_CHAIN', autocommit = 1",
    )
    .unwrap();
}

#[track_caller]
fn assert_refused(run: Result<(), LockError>, expected: OpenTransactionReason, of: &str) {
    match run {
        Err(ref error @ LockError::OpenTransaction { reason, .. }) => {
            assert_eq!(reason, expected, "{of}");
            assert_eq!(error.outcome(), Outcome::NothingHappened);
            assert!(error.to_string().contains(&reason.to_string()), "{error}");
        }
        other => panic!("{of}: {other:?}"),
    }
}

#[server_test]
fn acquire_in_an_unseen_transaction_is_refused_on_every_path(db: &Db) {
    let name = db.counter(1).lock_name();
    for path in Path::all() {
        for unseen in Unseen::reported_by(db) {
            let of = format!("{unseen:?}, {path:?}");
            let mut client = path.client(db);
            client.with(|conn| unseen.enter(conn));
            let run = client.run(&mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, unseen.reason(), &of);
            db.assert_free(&name);
            // The connection is still usable.
            client.with(leave);
            client
                .run(&mut counter(), |_, _| Ok(()))
                .unwrap_or_else(|error| panic!("{of}: {error}"));
        }
    }
}

#[server_test]
fn acquire_under_a_guard_in_an_unseen_transaction_is_refused_by_every_form(db: &Db) {
    let name = db.counter(1).lock_name();
    for unseen in Unseen::reported_by(db) {
        for form in Form::ALL {
            let of = format!("{unseen:?}, {form:?}");
            let conn = &mut db.conn();
            let mut held = LockName::named("outer").lock().acquire(conn).unwrap();
            unseen.enter(&mut held);
            let run = form.run_on(&mut held, &mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, unseen.reason(), &of);
            db.assert_free(&name);
            leave(&mut held);
            form.run_on(&mut held, &mut counter(), |_, _| Ok(()))
                .unwrap();
            held.release().unwrap();
        }
    }
}

#[server_test]
fn acquire_of_a_taken_lock_in_an_unseen_transaction_is_refused_at_once(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let start = Instant::now();
    for path in Path::all() {
        for unseen in Unseen::reported_by(db) {
            let of = format!("{unseen:?}, {path:?}");
            let mut client = path.client(db);
            client.with(|conn| unseen.enter(conn));
            let run = client.run(&mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, unseen.reason(), &of);
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "a call has waited"
    );
    held.release().unwrap();
}

/// The lock is held, but the inner call would release it before its work is committed.
#[server_test]
fn nested_acquire_in_an_unseen_transaction_is_refused(db: &Db) {
    db.counter(1);
    for unseen in Unseen::reported_by(db) {
        let run = counter().with_lock(&mut db.conn(), |counter, conn| {
            unseen.enter(conn);
            let inner = counter.with_lock(conn, |_, _| panic!("{unseen:?} ran"));
            assert_refused(inner, unseen.reason(), "nested");
            leave(conn);
            counter.with_lock(conn, |_, _| Ok::<_, LockError>(()))
        });
        run.unwrap();
    }
}

/// Asserts that no transaction is open under the default settings, and that the lock is free.
fn assert_clean(db: &Db, conn: &mut MysqlConnection, of: &str) {
    let before = db.value(1);
    conn.batch_execute("SET completion_type = 'NO_CHAIN'")
        .unwrap();
    // The reset must not commit anything.
    let autocommit: bool = diesel::select(diesel::dsl::sql::<Bool>("@@autocommit"))
        .get_result(conn)
        .unwrap();
    if !autocommit {
        conn.batch_execute("SET autocommit = 1").unwrap();
    }
    assert_eq!(db.value(1), before, "{of}");
    test_transactions::assert_clean(db, conn, of);
}

#[server_test]
fn unseen_transaction_left_open_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| !path.form.is_transaction()) {
        for unseen in Unseen::reported_by(db) {
            let of = format!("{unseen:?}, {path:?}");
            let mut client = path.client(db);
            let run = client.run(&mut counter(), |counter, conn| {
                unseen.enter(conn);
                match unseen {
                    // A COMMIT begins the next one.
                    Unseen::Chain => conn.batch_execute("COMMIT").unwrap(),
                    // A COMMIT would end the session.
                    Unseen::Release => return Ok(()),
                    Unseen::NoAutocommit | Unseen::RawBegin => {}
                }
                counter.value = 9;
                counter.save(conn).unwrap();
                Ok(())
            });
            match run {
                Err(LockError::TransactionLeftOpen { .. }) => {}
                other => panic!("{of}: {other:?}"),
            }
            assert_eq!(db.value(1), 0, "{of}");
            client.with(|conn| assert_clean(db, conn, &of));
        }
    }
}

/// The verification before COMMIT finds the setting.
#[server_test]
fn setting_left_inside_transaction_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        for unseen in [Unseen::NoAutocommit, Unseen::Chain, Unseen::Release] {
            let of = format!("{unseen:?}, {path:?}");
            let mut client = path.client(db);
            let run = client.run(&mut counter(), |counter, conn| {
                counter.value = 9;
                counter.save(conn).unwrap();
                unseen.enter(conn);
                Ok(())
            });
            match run {
                Err(LockError::TransactionLeftOpen { .. }) => {}
                other => panic!("{of}: {other:?}"),
            }
            db.wait_until_free(&counter().lock_name());
            assert_eq!(db.value(1), 0, "{of}");
            // Under `Release`, the ROLLBACK has ended the session.
            if unseen != Unseen::Release {
                client.with(|conn| assert_clean(db, conn, &of));
            }
        }
    }
}

/// A raw BEGIN commits the work before it, and its own transaction is committed by the call.
#[server_test]
fn raw_begin_inside_transaction_is_committed_under_the_lock(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        let mut client = path.client(db);
        let run = client.run(&mut counter(), |counter, conn| {
            Unseen::RawBegin.enter(conn);
            counter.value = 9;
            counter.save(conn).unwrap();
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
        assert_eq!(db.value(1), 9, "{path:?}");
        client.with(|conn| assert_clean(db, conn, &format!("{path:?}")));
    }
}

#[server_test]
fn guard_reports_an_unseen_transaction_left_open(db: &Db) {
    db.counter(1);
    for unseen in Unseen::reported_by(db) {
        for is_dropped in [false, true] {
            let of = format!("{unseen:?}");
            let conn = &mut db.conn();
            let mut model = counter();
            let mut held = model.lock().acquire(conn).unwrap();
            unseen.enter(&mut held);
            if is_dropped {
                drop(held);
            } else {
                let released = held.release();
                assert!(
                    matches!(released, Err(LockError::TransactionLeftOpen { .. })),
                    "{of}: {released:?}"
                );
            }
            assert_clean(db, conn, &of);
        }
    }
}

/// The pool has no other connection. Callers that check the connection out are refused, and no
/// caller is handed it with the lock.
#[server_test]
fn lock_pool_hands_off_no_connection_in_an_unseen_transaction(db: &Db) {
    db.counter(1);
    for unseen in Unseen::reported_by(db) {
        for in_transaction in [false, true] {
            let of = &format!("{unseen:?}, {in_transaction}");
            let locks = &db.locks(1);
            let runs = &Mutex::new(Vec::new());
            let others = || {
                let run = locks.run(counter().lock(), |counter, conn| {
                    counter.value = 9;
                    counter.save(conn).unwrap();
                    Ok::<_, LockError>(())
                });
                runs.lock().unwrap().push(run);
            };
            in_front_of(db, locks, 3, others, || {
                let body = |counter: &mut Counter, conn: &mut MysqlConnection| {
                    unseen.enter(conn);
                    counter.save(conn).unwrap();
                    Ok(())
                };
                let run = match in_transaction {
                    true => locks.transaction(counter().lock(), body),
                    false => locks.run(counter().lock(), body),
                };
                // The call commits the raw transaction, which has replaced its own.
                if in_transaction && unseen == Unseen::RawBegin {
                    run.unwrap();
                } else {
                    assert!(
                        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
                        "{of}: {run:?}"
                    );
                }
            });
            for run in runs.lock().unwrap().drain(..) {
                match run {
                    // On a clean connection, the work is committed.
                    Ok(()) => assert_eq!(db.value(1), 9, "{of}"),
                    refused => assert_refused(refused, unseen.reason(), of),
                }
            }
            db.assert_free(&counter().lock_name());
            db.execute("UPDATE counters SET value = 0");
        }
    }
}

/// The library cannot detect the transaction on MySQL, as its documentation states.
#[server_test(mysql)]
fn acquire_after_raw_begin_is_not_refused(db: &Db) {
    db.counter(1);
    let conn = &mut db.conn();
    conn.batch_execute("BEGIN").unwrap();
    counter()
        .with_lock(conn, |_, _| Ok::<_, LockError>(()))
        .unwrap();
}

#[server_test]
fn setting_in_a_test_transaction_is_refused_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all() {
        for unseen in [Unseen::NoAutocommit, Unseen::Chain] {
            let mut client = path.client(db);
            client.with(|conn| {
                conn.begin_test_transaction().unwrap();
                unseen.enter(conn);
            });
            let of = format!("{unseen:?}, {path:?}");
            let run = client.run(&mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, unseen.reason(), &of);
        }
    }
}
