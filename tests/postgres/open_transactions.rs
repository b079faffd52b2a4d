//! Transactions that Diesel does not see. PostgreSQL reports each of them.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_advisory_lock::OpenTransactionReason;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::Conn;
use crate::suite::lock_pool_faults::in_front_of;
use crate::suite::support::{Counter, Db, Form, Hook, Path, Then, When};
use crate::suite::test_transactions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    /// It has read nothing and written nothing.
    Empty,
    Written,
    Aborted,
}

impl Unseen {
    const ALL: [Unseen; 3] = [Unseen::Empty, Unseen::Written, Unseen::Aborted];

    fn enter(self, conn: &mut Conn) {
        conn.batch_execute("BEGIN").unwrap();
        match self {
            Unseen::Empty => {}
            Unseen::Written => conn
                .batch_execute("UPDATE counters SET value = 90 WHERE id = 1")
                .unwrap(),
            Unseen::Aborted => conn
                .batch_execute("SELECT 1 / 0")
                .map(drop)
                .unwrap_err()
                .ignore(),
        }
    }
}

trait Ignore: Sized {
    fn ignore(self) {}
}

impl Ignore for diesel::result::Error {}

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
}

#[track_caller]
fn assert_refused(run: Result<(), LockError>, of: &str) {
    assert!(
        matches!(
            run,
            Err(LockError::OpenTransaction {
                reason: OpenTransactionReason::RawBegin,
                ..
            })
        ),
        "{of}: {run:?}"
    );
}

#[server_test]
fn acquire_in_an_unseen_transaction_is_refused_on_every_path(db: &Db) {
    let name = db.counter(1).lock_name();
    for path in Path::all() {
        let mut client = path.client(db);
        for unseen in Unseen::ALL {
            let of = format!("{unseen:?}, {path:?}");
            client.with(|conn| unseen.enter(conn));
            let run = client.run(&mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, &of);
            db.assert_free(&name);
            client.with(|conn| {
                if unseen == Unseen::Written {
                    // The caller's transaction goes on.
                    let value = diesel::dsl::sql::<BigInt>(
                        "SELECT value + txid_current_if_assigned() * 0 FROM counters",
                    );
                    assert_eq!(value.get_result::<i64>(conn), Ok(90), "{of}");
                }
                conn.batch_execute("ROLLBACK").unwrap();
            });
            // The connection is still usable.
            client
                .run(&mut counter(), |_, _| Ok(()))
                .unwrap_or_else(|error| panic!("{of}: {error}"));
        }
    }
}

/// There is nothing to undo, and the caller's transaction goes on.
#[server_test]
fn acquire_of_a_taken_lock_in_an_unseen_transaction_is_refused(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let conn = &mut db.conn();
    Unseen::Written.enter(conn);
    for form in Form::ALL {
        let of = format!("{form:?}");
        let run = form.run_on(conn, &mut counter(), |_, _| panic!("{of} ran"));
        assert_refused(run, &of);
        let value = diesel::dsl::sql::<BigInt>(
            "SELECT value + txid_current_if_assigned() * 0 FROM counters",
        );
        assert_eq!(value.get_result::<i64>(conn), Ok(90), "{of}");
    }
    conn.batch_execute("ROLLBACK").unwrap();
    held.release().unwrap();
}

#[server_test]
fn acquire_under_a_guard_in_an_unseen_transaction_is_refused_by_every_form(db: &Db) {
    let name = db.counter(1).lock_name();
    let conn = &mut db.conn();
    for unseen in [Unseen::Empty, Unseen::Written] {
        for form in Form::ALL {
            let of = format!("{unseen:?}, {form:?}");
            let mut held = LockName::named("outer").lock().acquire(conn).unwrap();
            unseen.enter(&mut held);
            let run = form.run_on(&mut held, &mut counter(), |_, _| panic!("{of} ran"));
            assert_refused(run, &of);
            db.assert_free(&name);
            held.batch_execute("ROLLBACK").unwrap();
            form.run_on(&mut held, &mut counter(), |_, _| Ok(()))
                .unwrap_or_else(|error| panic!("{of}: {error}"));
            held.release().unwrap();
        }
    }
}

/// A transaction that the closure begins by raw SQL is rolled back before the lock is released.
#[server_test]
fn transaction_left_open_is_rolled_back_on_every_path(db: &Db) {
    db.counter(1);
    for path in Path::all().filter(|path| !path.form.is_transaction()) {
        let mut client = path.client(db);
        for unseen in Unseen::ALL {
            let of = format!("{unseen:?}, {path:?}");
            let run = client.run(&mut counter(), |_, conn| {
                unseen.enter(conn);
                Ok(())
            });
            assert!(
                matches!(run, Err(LockError::TransactionLeftOpen { .. })),
                "{of}: {run:?}"
            );
            assert_eq!(db.value(1), 0, "{of}");
            client.with(|conn| test_transactions::assert_clean(db, conn, &of));
        }
    }
}

#[server_test]
fn transaction_left_open_is_not_handed_off(db: &Db) {
    db.counter(1);
    for max_handoffs in [16, 0] {
        for unseen in Unseen::ALL {
            let locks = &LockPool::builder()
                .max_handoffs(max_handoffs)
                .build(db.pool(2).0);
            let others = || {
                locks.run(counter().lock(), Counter::add_one).unwrap();
            };
            let before = db.value(1);
            in_front_of(db, locks, 3, others, || {
                let run = locks.run(counter().lock(), |_, conn| {
                    unseen.enter(conn);
                    Ok::<_, LockError>(())
                });
                assert!(
                    matches!(run, Err(LockError::TransactionLeftOpen { .. })),
                    "{max_handoffs} {unseen:?}: {run:?}"
                );
            });
            assert_eq!(db.value(1), before + 3, "{max_handoffs} {unseen:?}");
            db.assert_idle(locks);
        }
    }
}

/// Nested in a transaction that a failed statement has aborted: no lock is left.
#[server_test]
fn nested_release_in_an_aborted_transaction_leaves_no_lock(db: &Db) {
    let name = db.counter(1).lock_name();
    for path in Path::essential() {
        let mut client = path.client(db);
        let run = client.run(&mut counter(), |counter, conn| {
            let aborted: QueryResult<()> = conn.transaction(|conn| {
                counter.with_lock(conn, |counter, conn| {
                    counter.add_one(conn)?;
                    conn.batch_execute("SELECT 1 / 0")
                })
            });
            assert!(aborted.is_err());
            assert!(db.holder(&name).is_some(), "{path:?}");
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
        client.assert_nothing_left(db, &format!("{path:?}"));
        assert_eq!(db.value(1), 0);
    }
}

/// Nothing is released inside an open transaction.
#[server_test]
fn nested_lock_in_a_transaction_is_held_until_its_end(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    let held = name.lock().acquire(conn).unwrap();
    let mut held = held;
    held.transaction(|conn| {
        counter.with_lock(conn, Counter::add_one)?;
        // Only the lock of the transaction is left.
        conn.batch_execute("SELECT pg_advisory_unlock_all()")?;
        assert!(db.holder(&name).is_some());
        QueryResult::Ok(())
    })
    .unwrap();
    db.assert_free(&name);
    assert!(matches!(held.release(), Err(LockError::Lost { .. })));
}

/// Nothing is released before what was written under the lock is rolled back.
#[server_test]
fn lock_is_held_while_a_written_transaction_is_rolled_back(db: &Db) {
    let name = db.counter(1).lock_name();
    let (conn, mut other) = (&mut db.conn(), db.conn());
    let hook = Hook::default();
    hook.watch(conn);
    let full_name = db.full_name(&name);
    let (report, reported) = std::sync::mpsc::channel();
    let ask = move || {
        let holder = crate::server::lock_holder(&mut other, &full_name);
        report.send(holder).unwrap();
    };
    let session = crate::server::session_id(conn);
    let run = counter().lock().run(conn, |_, conn| {
        Unseen::Written.enter(conn);
        hook.arm(When::Start("ROLLBACK"), Then::Call(Box::new(ask)));
        Ok(())
    });
    assert!(
        matches!(run, Err(LockError::TransactionLeftOpen { .. })),
        "{run:?}"
    );
    assert_eq!(reported.recv().unwrap(), Some(session));
    db.assert_free(&name);
}
