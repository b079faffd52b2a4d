//! Transactions that Diesel does not see and the server does, and closures that exchange the one that Diesel sees.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{OpenTransactionReason, Outcome};

use crate::lock_pool_faults::in_front_of;
use crate::support::{Counter, Db, Path, PathForm, Source, counters, until};

cases![
    acquire_in_an_unseen_transaction_is_refused_on_every_path,
    acquire_under_a_guard_in_an_unseen_transaction_is_refused_by_every_form,
    acquire_of_a_taken_lock_in_an_unseen_transaction_is_refused_at_once,
    nested_acquire_in_an_unseen_transaction_is_refused,
    unseen_transaction_left_open_is_rolled_back_on_every_path,
    setting_left_inside_transaction_is_rolled_back_on_every_path,
    raw_begin_inside_transaction_is_committed_under_the_lock,
    guard_reports_an_unseen_transaction_left_open,
    lock_pool_hands_off_no_connection_in_an_unseen_transaction,
    raw_begin_goes_unseen_on_mysql,
    test_transaction_is_accepted_on_every_path,
    setting_in_a_test_transaction_is_refused_on_every_path,
    test_transaction_exchanged_for_a_real_one_is_rolled_back_on_every_path,
    transaction_exchanged_for_a_test_transaction_is_rolled_back_on_every_path,
];

type Manager = <MysqlConnection as Connection>::TransactionManager;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    NoAutocommit,
    Chain,
    Release,
    RawBegin,
}

impl Unseen {
    /// Those that the server can tell.
    fn told_by(db: &Db) -> Vec<Unseen> {
        let mut all = vec![Unseen::NoAutocommit, Unseen::Chain, Unseen::Release];
        if db.is_mariadb() {
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

/// Sets back what [`Unseen::enter`] has set, and undoes what is not committed.
fn leave(conn: &mut MysqlConnection) {
    conn.batch_execute(
        "ROLLBACK AND NO CHAIN NO RELEASE; SET completion_type = 'NO_CHAIN', autocommit = 1",
    )
    .unwrap();
}

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
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

fn acquire_in_an_unseen_transaction_is_refused_on_every_path(db: &Db) {
    let name = db.counter(1).lock_name();
    for path in Path::all() {
        for unseen in Unseen::told_by(db) {
            let of = format!("{unseen:?}, {path:?}");
            let mut source = path.source(db);
            source.with(|conn| unseen.enter(conn));
            let run = path.run(&mut source, &mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, unseen.reason(), &of);
            db.assert_free(&name);
            // Nothing is wrong with the connection.
            source.with(leave);
            path.run(&mut source, &mut counter(), |_, _| Ok(()))
                .unwrap_or_else(|error| panic!("{of}: {error}"));
        }
    }
}

fn acquire_under_a_guard_in_an_unseen_transaction_is_refused_by_every_form(db: &Db) {
    let name = db.counter(1).lock_name();
    for unseen in Unseen::told_by(db) {
        for form in PathForm::ALL {
            let of = format!("{unseen:?}, {form:?}");
            let conn = &mut db.conn();
            let mut held = LockName::named("around").lock().acquire(conn).unwrap();
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

fn acquire_of_a_taken_lock_in_an_unseen_transaction_is_refused_at_once(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let start = Instant::now();
    for path in Path::all() {
        for unseen in Unseen::told_by(db) {
            let of = format!("{unseen:?}, {path:?}");
            let mut source = path.source(db);
            source.with(|conn| unseen.enter(conn));
            let run = path.run(&mut source, &mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, unseen.reason(), &of);
        }
    }
    assert!(start.elapsed() < Duration::from_secs(40), "it has waited");
    held.release().unwrap();
}

/// The lock is held, but what is done under it again would not be committed when it is released.
fn nested_acquire_in_an_unseen_transaction_is_refused(db: &Db) {
    db.counter(1);
    for unseen in Unseen::told_by(db) {
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

/// No transaction is open: what is written is committed at once, and the lock is free.
fn assert_clean(db: &Db, conn: &mut MysqlConnection, of: &str) {
    let before = db.value(1);
    conn.batch_execute("SET completion_type = 'NO_CHAIN'")
        .unwrap();
    // What was not committed must not be committed by setting it back.
    let autocommit: bool = diesel::select(diesel::dsl::sql::<Bool>("@@autocommit"))
        .get_result(conn)
        .unwrap();
    if !autocommit {
        conn.batch_execute("SET autocommit = 1").unwrap();
    }
    assert_eq!(db.value(1), before, "{of}");
    conn.batch_execute("UPDATE counters SET value = 50 WHERE id = 1")
        .unwrap();
    assert_eq!(db.value(1), 50, "{of}: a transaction is open");
    db.execute(&format!(
        "UPDATE {}.counters SET value = 0 WHERE id = 1",
        db.schema
    ));
    db.assert_free(&counter().lock_name());
}

fn unseen_transaction_left_open_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| !path.form.is_transaction()) {
        for unseen in Unseen::told_by(db) {
            let of = format!("{unseen:?}, {path:?}");
            let mut source = path.source(db);
            let run = path.run(&mut source, &mut counter(), |counter, conn| {
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
            source.with(|conn| assert_clean(db, conn, &of));
        }
    }
}

/// The proof before the COMMIT finds the setting.
fn setting_left_inside_transaction_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        for unseen in [Unseen::NoAutocommit, Unseen::Chain, Unseen::Release] {
            let of = format!("{unseen:?}, {path:?}");
            let mut source = path.source(db);
            let run = path.run(&mut source, &mut counter(), |counter, conn| {
                counter.value = 9;
                counter.save(conn).unwrap();
                unseen.enter(conn);
                Ok(())
            });
            match run {
                Err(LockError::TransactionLeftOpen { .. }) => {}
                other => panic!("{of}: {other:?}"),
            }
            until("the lock is free", || {
                db.holder(&counter().lock_name()).is_none()
            });
            assert_eq!(db.value(1), 0, "{of}");
            // With that one, the ROLLBACK has ended the session.
            if unseen != Unseen::Release {
                source.with(|conn| assert_clean(db, conn, &of));
            }
        }
    }
}

/// It commits what was done before it, and is committed itself.
fn raw_begin_inside_transaction_is_committed_under_the_lock(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        let mut source = path.source(db);
        let run = path.run(&mut source, &mut counter(), |counter, conn| {
            Unseen::RawBegin.enter(conn);
            counter.value = 9;
            counter.save(conn).unwrap();
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
        assert_eq!(db.value(1), 9, "{path:?}");
        source.with(|conn| assert_clean(db, conn, &format!("{path:?}")));
    }
}

fn guard_reports_an_unseen_transaction_left_open(db: &Db) {
    db.counter(1);
    for unseen in Unseen::told_by(db) {
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

/// The pool has no other connection. Callers that check it out are refused; none is handed it with the lock.
fn lock_pool_hands_off_no_connection_in_an_unseen_transaction(db: &Db) {
    db.counter(1);
    for unseen in Unseen::told_by(db) {
        for in_transaction in [false, true] {
            let of = &format!("{unseen:?}, {in_transaction}");
            let locks = &db.locks(1);
            let runs = &Mutex::new(Vec::new());
            let others = || {
                let run = counter().lock().run_from(locks, |counter, conn| {
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
                    true => counter().lock().transaction_from(locks, body),
                    false => counter().lock().run_from(locks, body),
                };
                // It is committed, together with the transaction that it is in.
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
                    // On the clean connection that is left, its work is committed, and seen below.
                    Ok(()) => assert_eq!(db.value(1), 9, "{of}"),
                    refused => assert_refused(refused, unseen.reason(), of),
                }
            }
            db.assert_free(&counter().lock_name());
            db.execute(&format!("UPDATE {}.counters SET value = 0", db.schema));
        }
    }
}

/// What the crate's documents say that it cannot tell.
fn raw_begin_goes_unseen_on_mysql(db: &Db) {
    if db.is_mariadb() {
        return;
    }
    db.counter(1);
    let conn = &mut db.conn();
    conn.batch_execute("BEGIN").unwrap();
    counter()
        .with_lock(conn, |_, _| Ok::<_, LockError>(()))
        .unwrap();
}

fn test_transaction_is_accepted_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all() {
        let mut source = path.source(db);
        source.with(|conn| conn.begin_test_transaction().unwrap());
        let name = counter().lock_name();
        for value in [5, 6] {
            let run = path.run(&mut source, &mut counter(), |counter, conn| {
                assert!(db.holder(&name).is_some(), "{path:?}");
                counter.value = value;
                counter.save(conn).unwrap();
                Ok(())
            });
            run.unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
            db.assert_free(&name);
            let seen = source.with(|conn| {
                let row = counters::table.find(1).select(counters::value);
                row.get_result::<i64>(conn).unwrap()
            });
            assert_eq!(seen, value, "{path:?} has ended the test transaction");
            assert_eq!(
                db.value(1),
                0,
                "{path:?} has committed the test transaction"
            );
        }
    }
}

fn setting_in_a_test_transaction_is_refused_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all() {
        for unseen in [Unseen::NoAutocommit, Unseen::Chain] {
            let mut source = path.source(db);
            source.with(|conn| {
                conn.begin_test_transaction().unwrap();
                unseen.enter(conn);
            });
            let of = format!("{unseen:?}, {path:?}");
            let run = path.run(&mut source, &mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, unseen.reason(), &of);
        }
    }
}

/// Depth of the transactions that Diesel knows of.
fn depth(conn: &mut MysqlConnection) -> u32 {
    Manager::transaction_manager_status_mut(conn)
        .transaction_depth()
        .unwrap()
        .map_or(0, std::num::NonZero::get)
}

fn end_all(conn: &mut MysqlConnection) {
    while depth(conn) > 0 {
        Manager::rollback_transaction(conn).unwrap();
    }
}

#[track_caller]
fn assert_left_open(db: &Db, path: Path, mut source: Source, run: Result<(), LockError>) {
    assert!(
        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
        "{path:?}: {run:?}"
    );
    assert_eq!(db.value(1), 0, "{path:?}");
    source.with(|conn| {
        assert_eq!(depth(conn), 0, "{path:?}");
        assert_clean(db, conn, &format!("{path:?}"));
    });
}

fn test_transaction_exchanged_for_a_real_one_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all() {
        let mut source = path.source(db);
        source.with(|conn| conn.begin_test_transaction().unwrap());
        let run = path.run(&mut source, &mut counter(), |counter, conn| {
            end_all(conn);
            Manager::begin_transaction(conn).unwrap();
            counter.value = 9;
            counter.save(conn).unwrap();
            Ok(())
        });
        assert_left_open(db, path, source, run);
    }
}

fn transaction_exchanged_for_a_test_transaction_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all() {
        let source = &mut path.source(db);
        let run = path.run(source, &mut counter(), |counter, conn| {
            end_all(conn);
            conn.begin_test_transaction().unwrap();
            counter.value = 9;
            counter.save(conn).unwrap();
            Ok(())
        });
        assert!(
            matches!(run, Err(LockError::TransactionLeftOpen { .. })),
            "{path:?}: {run:?}"
        );
        assert_eq!(db.value(1), 0, "{path:?}");
        db.assert_free(&counter().lock_name());
    }
}
