//! Several locks at once: one order, one deadline, all or none.

use std::cmp::Ordering;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::lock_all_from;
use diesel_advisory_lock::prelude::*;

use crate::support::{Counter, Db, session_id, until, until_in_line};

cases![
    money_is_neither_made_nor_lost,
    money_through_a_pool_of_two,
    the_order_of_the_set_does_not_matter,
    they_are_released_in_reverse,
    waiting_for_turns_takes_no_connection,
    all_are_held_and_current,
    what_is_named_twice_is_taken_once,
    one_lock_by_two_names_is_held_once,
    a_lock_that_is_held_already_is_not_read_again,
    nothing_is_kept_when_one_cannot_be_had,
    a_deleted_row_undoes_all,
    an_error_rolls_back_and_releases_all,
    an_open_transaction_is_refused,
    every_loss_is_told_and_the_rest_released,
    an_empty_set_locks_nothing,
    a_scope_is_for_all_of_them,
    many_rows_at_once,
];

impl Counter {
    fn give(
        &mut self,
        to: &mut Counter,
        amount: i64,
        conn: &mut MysqlConnection,
    ) -> QueryResult<()> {
        if self.value >= amount {
            self.value -= amount;
            to.value += amount;
            self.save(conn)?;
            to.save(conn)?;
        }
        Ok(())
    }
}

const ACCOUNTS: i64 = 10;

/// Eight threads move money between ten accounts at random.
fn move_money(db: &Db, transfer: impl Fn(&mut Counter, &mut Counter, i64) + Sync) {
    for id in 0..ACCOUNTS {
        db.counter(id);
    }
    db.execute("UPDATE counters SET value = 100");
    thread::scope(|scope| {
        for thread in 0..8 {
            let transfer = &transfer;
            scope.spawn(move || {
                let mut random = 2 * thread + 1;
                let mut next = |below| {
                    random = (random * 6_364_136_223_846_793_005_i128 + 1_442_695_040_888_963_407)
                        % (1 << 64);
                    i64::try_from((random >> 33) % below).unwrap()
                };
                for _ in 0..50 {
                    let (from, to) = (next(10), next(9));
                    let to = if to < from { to } else { to + 1 };
                    let account = |id| Counter { id, value: 0 };
                    transfer(&mut account(from), &mut account(to), next(80));
                }
            });
        }
    });
    let balances: Vec<i64> = crate::support::counters::table
        .select(crate::support::counters::value)
        .load(&mut db.conn())
        .unwrap();
    assert_eq!(balances.iter().sum::<i64>(), 100 * ACCOUNTS);
    assert!(balances.iter().all(|balance| *balance >= 0), "{balances:?}");
    assert!(
        balances.iter().any(|balance| *balance != 100),
        "no money was moved"
    );
}

fn money_is_neither_made_nor_lost(db: &Db) {
    move_money(db, |from, to, amount| {
        let conn = &mut db.conn();
        LockAll::of((from, to))
            .transaction(conn, |(from, to), conn| from.give(to, amount, conn))
            .unwrap();
    });
}

/// More threads than connections, and others that take single locks by handing them on.
fn money_through_a_pool_of_two(db: &Db) {
    let locks = db.locks(2);
    move_money(db, |from, to, amount| {
        if amount % 4 == 0 {
            from.lock()
                .transaction_from(&locks, |from, conn| from.save(conn))
                .unwrap();
        }
        LockAll::of((from, to))
            .transaction_from(&locks, |(from, to), conn| from.give(to, amount, conn))
            .unwrap();
    });
    db.assert_idle(&locks);
}

/// Each pair in both orders, many times at once: a single misplaced lock is a deadlock.
fn the_order_of_the_set_does_not_matter(db: &Db) {
    let session = &LockName::named("job");
    // The same lock, and others written before and after it, and one without a namespace.
    let spelled_out = &session.clone().namespace(&db.schema);
    let elsewhere = |order| {
        let written = |name: &LockName| name.written(&db.schema);
        (0..)
            .map(|number| LockName::named("job").namespace(format!("elsewhere {number}")))
            .find(|name| written(name).cmp(&written(session)) == order)
            .unwrap()
    };
    let (before, after) = (&elsewhere(Ordering::Less), &elsewhere(Ordering::Greater));
    let exact = &LockName::exact("job").unwrap();
    let names = [session, before, spelled_out, after, exact];
    thread::scope(|scope| {
        for thread in 0..10 {
            scope.spawn(move || {
                let conn = &mut db.conn();
                for turn in 0..40 {
                    let (one, other) = (names[thread % 5], names[(thread + turn) % 5]);
                    let set = if turn % 2 == 0 {
                        [one, other]
                    } else {
                        [other, one]
                    };
                    lock_all(set, conn, |_, _| Ok::<_, LockError>(())).unwrap();
                }
            });
        }
    });
}

/// Who waits for the one that was taken last gets it first.
fn they_are_released_in_reverse(db: &Db) {
    let names = &["a", "b", "c"].map(LockName::named);
    let (locks, proxy) = &db.locks_through_proxy(1);
    let order = &Mutex::new(Vec::new());
    thread::scope(|scope| {
        let waiting = LockAll::of(names.each_ref()).run_from(locks, |_, _| {
            for name in names {
                scope.spawn(move || {
                    let noted = |_: &mut _| {
                        order.lock().unwrap().push(name);
                        Ok::<_, LockError>(())
                    };
                    name.lock().hold(&mut db.conn(), noted).unwrap();
                });
            }
            until("all three are waited for", || db.waiting() == 3);
            // From one release to the next there is time to be seen.
            proxy.set_delay(Duration::from_millis(50));
            Ok::<_, LockError>(())
        });
        waiting.unwrap();
    });
    assert_eq!(*order.lock().unwrap(), [&names[2], &names[1], &names[0]]);
}

/// Many that want the same set wait for their turns, not for connections.
fn waiting_for_turns_takes_no_connection(db: &Db) {
    let names = &["a", "b"].map(LockName::named);
    let locks = &db.locks(3);
    let ran = &AtomicUsize::new(0);
    thread::scope(|scope| {
        let elsewhere = &mut db.conn();
        let held = names[1].lock().acquire(elsewhere).unwrap();
        for _ in 0..20 {
            scope.spawn(|| {
                let all = LockAll::of(names.each_ref());
                all.run_from(locks, |_, _| Ok::<_, LockError>(ran.fetch_add(1, SeqCst)))
                    .unwrap();
            });
        }
        until_in_line(locks, 19);
        assert_eq!(locks.pool().state().idle_connections, 2);
        held.release().unwrap();
    });
    assert_eq!(ran.load(SeqCst), 20);
    db.assert_idle(locks);
}

fn all_are_held_and_current(db: &Db) {
    let (mut one, mut rows) = (db.counter(1), vec![db.counter(2), db.counter(3)]);
    db.execute("UPDATE counters SET value = 7");
    let job = LockName::named("job");
    let nested = [LockName::named("a"), LockName::named("b")];
    let conn = &mut db.conn();
    let session = session_id(conn);
    let names: Vec<_> = [one.lock_name(), job.clone()]
        .into_iter()
        .chain(rows.iter().map(Lockable::lock_name))
        .chain(nested.clone())
        .collect();
    let set = ((&mut one, &job), &mut rows[..], Vec::from(nested));
    lock_all(set, conn, |((one, job), rows, _), _| {
        for name in &names {
            assert_eq!(db.holder(name), Some(session), "{name}");
        }
        assert_eq!((one.value, rows[0].value, rows[1].value), (7, 7, 7));
        assert_eq!(job, &LockName::named("job"));
        Ok::<_, LockError>(())
    })
    .unwrap();
    names.iter().for_each(|name| db.assert_free(name));
    assert_eq!((one.value, rows[0].value), (7, 7));
}

fn what_is_named_twice_is_taken_once(db: &Db) {
    let mut first = db.counter(1);
    let mut second = first.clone();
    db.execute("UPDATE counters SET value = 7");
    let name = first.lock_name();
    let conn = &mut db.conn();
    lock_all(
        (&mut first, &name, &mut second),
        conn,
        |(first, _, second), conn| {
            assert_eq!((first.value, second.value), (7, 7));
            // One hold: one release frees it.
            let written = name.written(&db.schema);
            conn.batch_execute(&format!("DO RELEASE_LOCK('{written}')"))
                .unwrap();
            db.assert_free(&name);
            conn.batch_execute(&format!("DO GET_LOCK('{written}', 0)"))?;
            QueryResult::Ok(())
        },
    )
    .unwrap();
    db.assert_free(&name);

    let locks = db.locks(1);
    lock_all_from(
        (&mut first, &name, &mut second),
        &locks,
        |(first, _, second), _| {
            assert_eq!((first.value, second.value), (7, 7));
            Ok::<_, LockError>(())
        },
    )
    .unwrap();
    db.assert_idle(&locks);
}

/// The schema's name spelled out or not: the server says that it is one lock.
fn one_lock_by_two_names_is_held_once(db: &Db) {
    let mut counter = db.counter(1);
    db.execute("UPDATE counters SET value = 7");
    let spelled = counter.lock_name().namespace(&db.schema);
    assert_ne!(spelled, counter.lock_name());
    let conn = &mut db.conn();
    for spelled_first in [true, false] {
        counter.value = 0;
        let read = |counter: &mut Counter| {
            assert_eq!(counter.value, 7, "a stale copy");
            Ok::<_, LockError>(())
        };
        if spelled_first {
            lock_all((&spelled, &mut counter), conn, |(_, counter), _| {
                read(counter)
            })
            .unwrap();
        } else {
            lock_all((&mut counter, &spelled), conn, |(counter, _), _| {
                read(counter)
            })
            .unwrap();
        }
        db.assert_free(&spelled);
    }
}

fn a_lock_that_is_held_already_is_not_read_again(db: &Db) {
    let (mut held, mut other) = (db.counter(1), db.counter(2));
    db.execute("UPDATE counters SET value = 7");
    held.with_lock(&mut db.conn(), |held, conn| {
        held.value = 99;
        lock_all((&mut *held, &mut other), conn, |(held, other), _| {
            assert_eq!((held.value, other.value), (99, 7));
            Ok::<_, LockError>(())
        })?;
        let session = session_id(conn);
        assert_eq!(
            db.holder(&held.lock_name()),
            Some(session),
            "released too often"
        );
        Ok::<_, LockError>(())
    })
    .unwrap();
    db.assert_free(&held.lock_name());
}

fn nothing_is_kept_when_one_cannot_be_had(db: &Db) {
    let names = ["a", "b", "c"].map(LockName::named);
    let elsewhere = &mut db.conn();
    let held = names[1].lock().acquire(elsewhere).unwrap();
    let conn = &mut db.conn();
    let locks = db.locks(1);
    let start = Instant::now();
    let wait = Duration::from_millis(300);
    let request = || LockAll::of(names.each_ref()).timeout(wait);
    let timed_out = |run: Result<(), LockError>| {
        let Err(LockError::Timeout { name, waited, .. }) = run else {
            panic!("{run:?}");
        };
        assert_eq!(name, names[1]);
        assert!(waited >= wait, "{waited:?}");
        db.assert_free(&names[0]);
        db.assert_free(&names[2]);
    };
    timed_out(request().run(conn, |_, _| Ok(())));
    timed_out(request().transaction_from(&locks, |_, _| Ok(())));
    assert!(start.elapsed() < Duration::from_secs(5));
    let none = LockAll::of(names.each_ref()).try_run(conn, |_, _| Ok::<_, LockError>(()));
    assert!(none.unwrap().is_none());
    let none = LockAll::of(names.each_ref()).try_run_from(&locks, |_, _| Ok::<_, LockError>(()));
    assert!(none.unwrap().is_none());
    held.release().unwrap();
    assert_eq!(
        request()
            .try_run(conn, |_, _| Ok::<_, LockError>(5))
            .unwrap(),
        Some(5)
    );
    let again = request().try_transaction_from(&locks, |_, _| Ok::<_, LockError>(5));
    assert_eq!(again.unwrap(), Some(5));
    let again = request().try_transaction(conn, |_, _| Ok::<_, LockError>(5));
    assert_eq!(again.unwrap(), Some(5));
    db.assert_idle(&locks);
}

fn a_deleted_row_undoes_all(db: &Db) {
    let (mut stays, mut gone) = (db.counter(1), db.counter(2));
    db.execute("DELETE FROM counters WHERE id = 2");
    let names = [stays.lock_name(), gone.lock_name()];
    let run: Result<(), LockError> = lock_all((&mut stays, &mut gone), &mut db.conn(), |_, _| {
        panic!("must not run")
    });
    let Err(LockError::Gone { name, .. }) = run else {
        panic!("{run:?}");
    };
    assert_eq!(name, names[1]);
    names.iter().for_each(|name| db.assert_free(name));
}

fn an_error_rolls_back_and_releases_all(db: &Db) {
    let (mut one, mut other) = (db.counter(1), db.counter(2));
    let names = [one.lock_name(), other.lock_name()];
    let conn = &mut db.conn();
    let run: QueryResult<()> =
        LockAll::of((&mut one, &mut other)).transaction(conn, |(one, other), conn| {
            one.value = 5;
            one.save(conn)?;
            other.value = 5;
            other.save(conn)?;
            Err(diesel::result::Error::RollbackTransaction)
        });
    assert_eq!(run, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!((db.value(1), db.value(2)), (0, 0));
    names.iter().for_each(|name| db.assert_free(name));
}

fn an_open_transaction_is_refused(db: &Db) {
    let names = [LockName::named("a"), LockName::named("b")];
    db.conn()
        .transaction(|conn| {
            let run = lock_all(names.each_ref(), conn, |_, _| Ok::<_, LockError>(()));
            assert!(
                matches!(run, Err(LockError::OpenTransaction { .. })),
                "{run:?}"
            );
            QueryResult::Ok(())
        })
        .unwrap();
    // Those that are held around the transaction may be taken again in it; one that is not undoes all.
    let conn = &mut db.conn();
    let mut held = names[0].lock().acquire(conn).unwrap();
    held.transaction(|conn| {
        lock_all([&names[0]], conn, |_, _| Ok::<_, LockError>(())).unwrap();
        let run = lock_all(names.each_ref(), conn, |_, _| Ok::<_, LockError>(()));
        assert!(
            matches!(run, Err(LockError::OpenTransaction { .. })),
            "{run:?}"
        );
        QueryResult::Ok(())
    })
    .unwrap();
    held.release().unwrap();
    names.iter().for_each(|name| db.assert_free(name));
}

fn every_loss_is_told_and_the_rest_released(db: &Db) {
    let names = ["a", "b", "c"].map(LockName::named);
    let conn = &mut db.conn();
    let run = lock_all(names.each_ref(), conn, |names, conn| {
        let lost = names[1].written(&db.schema);
        conn.batch_execute(&format!("DO RELEASE_LOCK('{lost}')"))
            .unwrap();
        Ok::<_, LockError>(())
    });
    let Err(LockError::Lost {
        name, source: None, ..
    }) = run
    else {
        panic!("{run:?}");
    };
    assert_eq!(name, names[1]);
    names.iter().for_each(|name| db.assert_free(name));

    let run = lock_all(names.each_ref(), &mut db.conn(), |_, conn| {
        db.execute(&format!("KILL CONNECTION {}", session_id(conn)));
        Ok::<_, LockError>(())
    });
    assert!(
        matches!(
            run,
            Err(LockError::Lost {
                source: Some(_),
                ..
            })
        ),
        "{run:?}"
    );
    for name in &names {
        until("the server has freed it", || db.holder(name).is_none());
    }
}

fn an_empty_set_locks_nothing(db: &Db) {
    let nothing: &mut [Counter] = &mut [];
    let ran =
        LockAll::of(nothing).transaction(&mut db.conn(), |rows, _| Ok::<_, LockError>(rows.len()));
    assert_eq!(ran.unwrap(), 0);
}

fn a_scope_is_for_all_of_them(db: &Db) {
    let mut counter = db.counter(1);
    let (plain, job) = (counter.lock_name(), LockName::named("job"));
    let conn = &mut db.conn();
    let session = session_id(conn);
    LockAll::of((&mut counter, &job))
        .scope("send")
        .namespace("elsewhere")
        .run(conn, |_, _| {
            for name in [&plain, &job] {
                db.assert_free(name);
                let taken = name.clone().namespace("elsewhere").scope("send");
                assert_eq!(db.holder(&taken), Some(session), "{taken}");
            }
            Ok::<_, LockError>(())
        })
        .unwrap();
}

fn many_rows_at_once(db: &Db) {
    let locks = db.locks(1);
    let mut rows: Vec<_> = (0..100).map(|id| db.counter(id)).collect();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (locks, mut rows) = (&locks, rows.clone());
            scope.spawn(move || {
                rows.reverse();
                lock_all_from(&mut rows[..], locks, |rows, conn| {
                    rows.iter_mut().try_for_each(|row| {
                        row.value += 1;
                        row.save(conn).map(drop)
                    })
                })
                .unwrap();
            });
        }
    });
    lock_all(&mut rows[..], &mut db.conn(), |rows, _| {
        assert!(rows.iter().all(|row| row.value == 3));
        Ok::<_, LockError>(())
    })
    .unwrap();
    db.assert_idle(&locks);
}
