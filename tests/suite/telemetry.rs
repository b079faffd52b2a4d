//! What `tracing` and `metrics` record.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use diesel::connection::TransactionManager;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use metrics_util::debugging::DebuggingRecorder;
use server_test::server_test;
use tracing::Level;

use super::lock_pool_faults::in_front_of;
use super::panics::hooked_locks;
use super::support::{
    Counter, Db, Hook, Path, Then, When, counters, documents, panics, wait_until, wait_until_queued,
};
use crate::server::{self, Conn, session_id, statement};
use watch::{read, watched};

pub(crate) mod watch;

type Manager = <Conn as Connection>::TransactionManager;

#[server_test]
fn lock_has_a_span_and_metrics(db: &Db) {
    let conn = &mut db.conn();
    let name = LockName::row(counters::table, 7);
    let (watch, metrics) = watched(|| {
        let held = name.lock().acquire(conn).unwrap();
        thread::sleep(Duration::from_millis(50));
        held.release().unwrap();
    });
    let span = watch.span();
    assert!(span.has("name", "counters:7"), "{span:?}");
    assert!(span.has("outcome", "released") && span.has("reentrant", "false"));
    assert!(span.seconds("wait") < 5.0 && span.seconds("hold") >= 0.05);
    assert_eq!(span.fields.get("reloaded"), None);
    assert!(watch.events().is_empty());
    assert_eq!(metrics.values("wait_seconds counters").len(), 1);
    assert!(metrics.values("hold_seconds counters")[0] >= 0.05);
    // All counters of the table exist at once, so that an alert sees the first increment.
    let counters: Vec<_> = metrics.counters.iter().collect();
    assert_eq!(counters.len(), 3, "{metrics:?}");
    assert!(
        counters.iter().all(|(_, count)| **count == 0),
        "{metrics:?}"
    );
}

#[server_test]
fn reload_is_recorded_in_the_span(db: &Db) {
    let (conn, mut counter) = (&mut db.conn(), db.counter(1));
    let locks = db.locks(1);
    let (watch, _) = watched(|| {
        counter.with_lock(conn, |_, _| nothing()).unwrap();
        locks.run(counter.lock(), |_, _| nothing()).unwrap();
        lock_all(&mut counter).run(conn, |_, _| nothing()).unwrap();
    });
    assert_eq!(watch.spans().len(), 3);
    for span in watch.spans() {
        assert!(span.has("reloaded", "true"), "{span:?}");
    }
}

fn nothing() -> Result<(), LockError> {
    Ok(())
}

#[server_test]
fn nested_lock_has_a_span_and_no_metrics(db: &Db) {
    let (conn, mut counter) = (&mut db.conn(), db.counter(1));
    let (watch, metrics) = watched(|| {
        counter
            .with_lock(conn, |counter, conn| {
                counter.with_lock(conn, |_, _| nothing())
            })
            .unwrap();
    });
    let [inner, outer] = &watch.spans()[..] else {
        panic!("two spans");
    };
    assert!(inner.has("reentrant", "true") && outer.has("reentrant", "false"));
    assert!(!inner.has("reloaded", "true") && outer.has("reloaded", "true"));
    assert_eq!(inner.parent.as_deref(), Some("counters:1"));
    assert_eq!(metrics.values("wait_seconds counters").len(), 1);
    assert_eq!(metrics.values("hold_seconds counters").len(), 1);
}

impl Counter {
    #[locked(conn = conn)]
    fn log(&mut self, conn: &mut Conn) -> QueryResult<()> {
        tracing::info!("in a method");
        let _ = conn;
        Ok(())
    }

    #[locked(conn = conn)]
    fn log_on_a_copy(&self, conn: &mut Conn) -> QueryResult<()> {
        tracing::info!("in a method on a copy");
        let _ = conn;
        Ok(())
    }
}

#[server_test]
fn closure_runs_within_the_span(db: &Db) {
    let (conn, mut counter) = (&mut db.conn(), db.counter(1));
    let locks = db.locks(1);
    let (watch, _) = watched(|| {
        let log = || {
            tracing::info!("in a closure");
            nothing()
        };
        let name = counter.lock_name();
        name.lock().run(conn, |_, _| log()).unwrap();
        locks.run(name.lock(), |_, _| log()).unwrap();
        counter.lock().transaction(conn, |_, _| log()).unwrap();
        lock_all(&name).run(conn, |_, _| log()).unwrap();
        counter.log(conn).unwrap();
        counter.log_on_a_copy(conn).unwrap();
        tracing::info!("outside");
    });
    let events = watch.events();
    let (outside, inside) = events.split_last().unwrap();
    assert_eq!(inside.len(), 6);
    for (_, fields) in inside {
        assert_eq!(fields.get("span").unwrap(), "counters:1", "{fields:?}");
    }
    assert_eq!(outside.1.get("span"), None);
}

#[server_test]
fn locks_of_a_set_have_spans_within_spans(db: &Db) {
    let conn = &mut db.conn();
    let names = ["a", "b", "c"].map(LockName::named);
    let (watch, _) = watched(|| {
        let all = names.to_vec();
        lock_all(all)
            .run(conn, |_, _| {
                tracing::info!("inside");
                nothing()
            })
            .unwrap();
    });
    let parents: BTreeMap<_, _> = watch
        .spans()
        .into_iter()
        .map(|span| (span.fields["name"].clone(), span.parent))
        .collect();
    assert_eq!(parents["=a"], None);
    assert_eq!(parents["=b"].as_deref(), Some("=a"));
    assert_eq!(parents["=c"].as_deref(), Some("=b"));
    assert_eq!(watch.event().1["span"], "=c");
    for span in watch.spans() {
        assert!(span.has("outcome", "released"), "{span:?}");
    }
}

#[server_test]
fn wait_is_counted_as_contention(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let id = session_id(waiter);
    let held = name.lock().acquire(holder).unwrap();
    let (watch, metrics) = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            watched(|| {
                let held = name.lock().acquire(waiter).unwrap();
                held.release().unwrap();
            })
        });
        db.wait_until_blocked(id);
        thread::sleep(Duration::from_millis(100));
        held.release().unwrap();
        waiting.join().unwrap()
    });
    assert!(watch.span().seconds("wait") >= 0.1);
    assert!(watch.span().has("outcome", "released"));
    assert!(metrics.values("wait_seconds counters")[0] >= 0.1);
    assert_eq!(metrics.count("contended_total counters"), 1);
    assert_eq!(metrics.count("timeouts_total counters"), 0);
}

#[server_test]
fn timeout_is_recorded_and_counted(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let _held = name.lock().acquire(holder).unwrap();
    let (watch, metrics) = watched(|| {
        let request = name.lock().timeout(Duration::from_millis(200));
        request.acquire(waiter).unwrap_err();
    });
    let span = watch.span();
    assert!(span.has("outcome", "timeout"), "{span:?}");
    assert!(span.seconds("wait") >= 0.2);
    assert_eq!(span.fields.get("hold"), None);
    assert_eq!(metrics.count("timeouts_total counters"), 1);
    assert_eq!(metrics.count("contended_total counters"), 1);
    assert!(metrics.values("wait_seconds counters")[0] >= 0.2);
    assert!(metrics.values("hold_seconds counters").is_empty());
}

#[server_test]
fn try_form_is_counted_as_contention_and_not_as_timeout(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, other) = (&mut db.conn(), &mut db.conn());
    let _held = name.lock().acquire(holder).unwrap();
    let (watch, metrics) = watched(|| {
        assert!(name.lock().try_acquire(other).unwrap().is_none());
    });
    assert!(watch.span().has("outcome", "contended"));
    assert_eq!(metrics.count("timeouts_total counters"), 0);
    assert_eq!(metrics.count("contended_total counters"), 1);
}

#[server_test]
fn deadlock_is_recorded(db: &Db) {
    let (one, other) = (&mut db.conn(), &mut db.conn());
    let ones_id = session_id(one);
    let [a, b] = ["a", "b"].map(LockName::named);
    let mut one = a.lock().acquire(one).unwrap();
    let mut other = b.lock().acquire(other).unwrap();
    let outcomes = thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let (watch, _) = watched(|| drop(b.lock().acquire(&mut one)));
            // Otherwise the other session would wait for its timeout.
            drop(one);
            watch
        });
        db.wait_until_blocked(ones_id);
        let (closing, _) = watched(|| drop(a.lock().acquire(&mut other)));
        drop(other);
        [closing, waiting.join().unwrap()].map(|watch| watch.span().fields["outcome"].clone())
    });
    // One session is refused, or both are.
    assert!(outcomes.contains(&"deadlock".to_owned()), "{outcomes:?}");
}

#[server_test]
fn refusal_before_the_server_is_asked_is_recorded(db: &Db) {
    let conn = &mut db.conn();
    let (watch, _) = watched(|| {
        let name = LockName::exact("a").unwrap().scope("b");
        name.lock().acquire(conn).unwrap_err();
        conn.transaction(|conn| {
            let name = LockName::named("job");
            QueryResult::Ok(name.lock().acquire(conn).map(drop).unwrap_err())
        })
        .unwrap();
    });
    let outcomes: Vec<_> = watch
        .spans()
        .into_iter()
        .map(|span| span.fields["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["invalid_name", "open_transaction"]);
}

#[server_test]
fn lost_lock_emits_an_event(db: &Db) {
    let conn = &mut db.conn();
    let name = LockName::row(counters::table, 7);
    let (watch, metrics) = watched(|| {
        let mut held = name.lock().acquire(conn).unwrap();
        server::release_all(&mut held).unwrap();
        held.release().unwrap_err();
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::ERROR);
    assert!(fields["message"].contains("a lock was lost"), "{fields:?}");
    assert_eq!(fields["lock"], "counters:7");
    assert_eq!(fields["span"], "counters:7");
    assert!(watch.span().has("outcome", "lost"));
    assert_eq!(metrics.count("lost_total counters"), 1);

    // One loss, although both guards report it.
    let conn = &mut db.conn();
    let (_, metrics) = watched(|| {
        let mut outer = name.lock().acquire(conn).unwrap();
        let mut inner = name.lock().acquire(&mut outer).unwrap();
        server::release_all(&mut inner).unwrap();
        inner.release().unwrap_err();
        outer.release().unwrap_err();
    });
    assert_eq!(metrics.count("lost_total counters"), 1);
}

#[server_test]
fn failed_release_on_drop_emits_an_event(db: &Db) {
    let conn = &mut db.conn();
    let id = session_id(conn);
    let (watch, metrics) = watched(|| {
        let held = LockName::named("job").lock().acquire(conn).unwrap();
        db.kill_session(id);
        drop(held);
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::ERROR);
    assert!(fields["message"].contains("could not be released"));
    assert!(!fields["error"].is_empty());
    assert_eq!(metrics.count("lost_total =job"), 1);
}

#[server_test]
fn transaction_left_open_emits_an_event(db: &Db) {
    let conn = &mut db.conn();
    let (watch, metrics) = watched(|| {
        let mut held = LockName::named("job").lock().acquire(conn).unwrap();
        Manager::begin_transaction(&mut *held).unwrap();
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::WARN);
    assert!(fields["error"].contains("was left open"), "{fields:?}");
    assert!(watch.span().has("outcome", "transaction_left_open"));
    assert_eq!(metrics.count("lost_total =job"), 0);
}

#[server_test]
fn hold_past_the_keep_alive_emits_an_event(db: &Db) {
    let conn = &mut db.conn();
    let hold = |conn: &mut Conn, longest: u64, ms: u64| {
        let request = LockName::named("job").lock();
        request
            .keep_alive(Duration::from_millis(longest))
            .run(conn, |_, _| {
                thread::sleep(Duration::from_millis(ms));
                nothing()
            })
            .unwrap();
    };
    let (watch, _) = watched(|| hold(conn, 5_000, 50));
    assert!(watch.events().is_empty());
    let (watch, _) = watched(|| hold(conn, 20, 50));
    let (level, fields) = watch.event();
    assert_eq!(level, Level::WARN);
    assert!(fields["message"].contains("held for longer"), "{fields:?}");
    assert_eq!(fields["expected"], "0.02");
    assert!(fields["hold"].parse::<f64>().unwrap() >= 0.05);
}

#[server_test]
fn request_that_is_handed_a_lock_has_a_span(db: &Db) {
    let locks = db.locks(1);
    let name = LockName::row(counters::table, 1);
    let held = locks.acquire(name.lock()).unwrap();
    let request = || {
        watched(|| {
            let held = locks.acquire(name.lock()).unwrap();
            thread::sleep(Duration::from_millis(50));
            held.release().unwrap();
        })
    };
    let seen = thread::scope(|scope| {
        let second = scope.spawn(request);
        wait_until_queued(&locks, 1);
        // The third is queued when the server grants the second the lock, so it is handed the lock.
        let third = scope.spawn(request);
        wait_until_queued(&locks, 2);
        held.release().unwrap();
        [second, third].map(|request| request.join().unwrap())
    });
    for (watch, metrics) in &seen {
        assert_eq!(metrics.gauges["queued counters"], 0.0);
        let span = watch.span();
        assert!(span.has("outcome", "released"), "{span:?}");
        assert!(span.seconds("hold") >= 0.05, "{span:?}");
        assert_eq!(metrics.count("contended_total counters"), 1);
        assert_eq!(metrics.values("wait_seconds counters").len(), 1);
        assert_eq!(metrics.values("hold_seconds counters").len(), 1);
    }
    // The third waited for the second.
    assert!(seen[1].0.span().seconds("wait") >= 0.05);
}

#[server_test]
fn exhausted_pool_is_recorded(db: &Db) {
    let (pool, _) = db.pool(1);
    let _taken = pool.get().unwrap();
    let name = LockName::row(counters::table, 7);
    let (watch, metrics) = watched(|| {
        let request = name.lock().timeout(Duration::from_millis(100));
        let error = LockPool::new(pool.clone())
            .acquire(request)
            .map(drop)
            .unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    });
    assert!(watch.span().has("outcome", "pool"));
    assert_eq!(metrics.count("contended_total counters"), 0);
    assert_eq!(metrics.values("wait_seconds counters").len(), 1);
}

#[server_test]
fn metric_labels_contain_no_row_key(db: &Db) {
    let conn = &mut db.conn();
    let (_, metrics) = watched(|| {
        for key in 0..20 {
            let names = [
                LockName::row(counters::table, key),
                LockName::row(counters::table, key).scope(format!("scope {key}")),
                LockName::row(documents::table, format!("Ä {key}")),
                LockName::table(counters::table),
                LockName::named(format!("job {key}")),
                LockName::exact(format!("{} exact {key}", db.schema)).unwrap(),
            ];
            for name in names {
                name.lock().acquire(conn).unwrap().release().unwrap();
            }
        }
    });
    let labels: Vec<_> = metrics.histograms.keys().map(String::as_str).collect();
    assert_eq!(
        labels,
        [
            "hold_seconds (exact)",
            "hold_seconds (named)",
            "hold_seconds counters",
            "hold_seconds documents",
            "wait_seconds (exact)",
            "wait_seconds (named)",
            "wait_seconds counters",
            "wait_seconds documents",
        ]
    );
    assert_eq!(metrics.values("hold_seconds counters").len(), 60);
}

/// The process has one set of labels, and other cases use some of them.
#[server_test]
fn named_locks_share_a_label_after_the_first_hundred(db: &Db) {
    let conn = &mut db.conn();
    let job = LockName::named("job");
    let (_, metrics) = watched(|| {
        // Other cases expect this label, so it must be one of the first hundred.
        job.lock().acquire(conn).unwrap().release().unwrap();
        for nth in 0..120 {
            let name = LockName::named(format!("label-{nth}"));
            name.lock().acquire(conn).unwrap().release().unwrap();
        }
    });
    let own = metrics
        .histograms
        .keys()
        .filter(|key| key.starts_with("hold_seconds =label-"))
        .count();
    let shared = metrics.values("hold_seconds (named)").len();
    assert_eq!(own + shared, 120);
    assert!((1..100).contains(&own), "{own}");
}

/// A request counts only while it waits, whether it then acquires the lock or not.
#[server_test]
fn queue_gauge_counts_waiting_requests(db: &Db) {
    let locks = &db.locks(1);
    let name = &LockName::row(counters::table, 1);
    for timeout in [Duration::from_secs(20), Duration::from_millis(300)] {
        let recorder = &DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        // A snapshot sets the gauge back to 0.
        let change = || {
            let gauges = read(&snapshotter).gauges;
            gauges.get("queued counters").copied().unwrap_or(0.0)
        };
        let held = locks.acquire(name.lock()).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                metrics::with_local_recorder(recorder, || {
                    locks.acquire(name.lock().timeout(timeout)).is_ok()
                })
            });
            wait_until("the request waits", || change() == 1.0);
            if timeout < Duration::from_secs(1) {
                assert!(!waiting.join().unwrap());
                assert_eq!(change(), -1.0);
                held.release().unwrap();
            } else {
                held.release().unwrap();
                assert!(waiting.join().unwrap());
                assert_eq!(change(), -1.0);
            }
        });
    }
    db.assert_idle(locks);
}

/// Asserts that calls whose closure ends by `end` record the rollback in all spans, and emit no
/// event.
fn assert_rolls_back_without_an_event(db: &Db, end: fn() -> QueryResult<()>) {
    db.counter(1);
    for path in Path::essential_transactions() {
        let client = &mut path.client(db);
        let (watch, _) = watched(|| {
            let failed = panics(|| {
                let result = client.run_on_counter(|counter, conn| {
                    counter.add_one(conn)?;
                    end()
                });
                assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
            });
            assert_eq!(failed, panics(end), "{path:?}");
        });
        assert_eq!(watch.events().len(), 0, "{path:?}: {:?}", watch.events());
        assert!(!watch.spans().is_empty());
        for span in watch.spans() {
            assert!(span.has("outcome", "rolled_back"), "{path:?}: {span:?}");
        }
    }
    assert_eq!(db.value(1), 0);
    // Neither does an error without a transaction, or inside one that the closure began.
    for path in Path::essential_runs() {
        let client = &mut path.client(db);
        let (watch, _) = watched(|| {
            panics(|| client.run_on_counter(|_, _| end()));
            panics(|| {
                client.run_on_counter(|counter, conn| {
                    conn.transaction(|conn| {
                        counter.add_one(conn)?;
                        Err(diesel::result::Error::RollbackTransaction)
                    })
                })
            });
        });
        assert_eq!(watch.events().len(), 0, "{path:?}: {:?}", watch.events());
    }
}

#[server_test]
fn transaction_that_returns_an_error_emits_no_event(db: &Db) {
    assert_rolls_back_without_an_event(db, || Err(diesel::result::Error::RollbackTransaction));
}

#[server_test]
fn transaction_that_panics_emits_no_event(db: &Db) {
    assert_rolls_back_without_an_event(db, || std::panic::resume_unwind(Box::new("on purpose")));
}

#[server_test]
fn run_that_leaves_a_transaction_open_emits_an_event_even_with_an_error(db: &Db) {
    db.counter(1);
    for path in Path::essential_runs() {
        let client = &mut path.client(db);
        let (watch, _) = watched(|| {
            let result = client.run_on_counter(|_, conn| {
                Manager::begin_transaction(conn)?;
                Err(diesel::result::Error::RollbackTransaction)
            });
            assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
        });
        let events = watch.events();
        assert!(!events.is_empty(), "{path:?}");
        for (level, fields) in events {
            assert_eq!(level, Level::WARN, "{path:?}");
            assert!(fields["error"].contains("was left open"), "{fields:?}");
        }
    }
}

/// On PostgreSQL, the locks are requested once more if they must precede the transaction.
#[server_test]
fn every_span_of_locks_that_precede_their_transaction_has_an_outcome(db: &Db) {
    db.lock_before_begin();
    db.counter(1);
    for path in Path::essential_transactions() {
        let client = &mut path.client(db);
        for _ in 0..2 {
            let (watch, _) = watched(|| client.run_on_counter(|_, _| Ok(())).unwrap());
            assert!(!watch.spans().is_empty());
            for span in watch.spans() {
                assert!(span.has("outcome", "released"), "{path:?}: {span:?}");
            }
        }
    }
}

/// The session ends just before it would release its locks.
#[server_test]
fn failed_release_after_commit_emits_a_warning_and_counts_no_loss(db: &Db) {
    db.lock_before_begin();
    db.counter(1);
    for path in Path::essential_transactions() {
        let hook = Hook::default();
        let client = &mut path.hooked_client(&db.url(), &hook);
        let session = client.session_id();
        let mut killer = db.conn();
        let kill = move || server::kill_session(&mut killer, session).unwrap();
        hook.arm(When::Start(statement::RELEASE), Then::Call(Box::new(kill)));
        let (watch, metrics) = watched(|| {
            let result = client.run_on_counter(|_, _| Ok(()));
            assert_eq!(result, Ok(()), "{path:?}");
        });
        let events = watch.events();
        assert!(!events.is_empty(), "{path:?}");
        for (level, fields) in events {
            assert_eq!(level, Level::WARN, "{path:?}");
            assert!(fields["message"].contains("after COMMIT"), "{fields:?}");
        }
        assert_eq!(metrics.count("lost_total counters"), 0, "{path:?}");
        assert_eq!(metrics.count("lost_total =job"), 0, "{path:?}");
    }
}

/// The next request leaves the queue while the session is verified, and the session ends just before
/// it would release the lock.
#[server_test]
fn failed_release_after_a_handoff_without_a_taker_emits_an_event(db: &Db) {
    db.counter(1);
    let hook = &Hook::default();
    let locks = &hooked_locks(db, hook);
    let name = &LockName::row(counters::table, 1);
    let others = || {
        let request = name.lock().timeout(Duration::from_secs(1));
        let error = locks.acquire(request).unwrap_err();
        assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
    };
    let (watch, metrics) = in_front_of(db, locks, 1, others, || {
        watched(|| {
            let mut held = locks.acquire(name.lock()).unwrap();
            let session = session_id(&mut held);
            let mut killer = db.conn();
            let (queue, release) = (locks.clone(), hook.clone());
            let kill = move || server::kill_session(&mut killer, session).unwrap();
            let leave = move || {
                wait_until_queued(&queue, 0);
                release.arm(When::Start(statement::RELEASE), Then::Call(Box::new(kill)));
            };
            hook.arm(When::Start(statement::VERIFY), Then::Call(Box::new(leave)));
            held.release().unwrap_err();
        })
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::ERROR);
    assert!(fields["message"].contains("could not be released"));
    assert_eq!(fields["span"], "counters:1");
    assert_eq!(metrics.count("lost_total counters"), 1);
    assert_eq!(metrics.values("hold_seconds counters").len(), 1);
}

#[server_test]
fn session_that_keeps_its_lock_emits_an_event(db: &Db) {
    db.counter(1);
    for path in Path::essential() {
        let client = &mut path.client(db);
        let (watch, metrics) = watched(|| {
            let result = client.run_on_counter(|counter, conn| {
                std::mem::forget(counter.lock_name().lock().acquire(conn)?);
                Ok(())
            });
            assert_eq!(result, Ok(()), "{path:?}");
        });
        if path.form.is_transaction() && server::NESTED_LOCKS_END_WITH_TRANSACTION {
            continue;
        }
        let (level, fields) = watch.event();
        assert_eq!(level, Level::WARN, "{path:?}");
        assert!(fields["message"].contains("after its last release"));
        assert_eq!(fields["lock"], "counters:1");
        assert_eq!(metrics.count("lost_total counters"), 0);
    }
}

#[server_test]
fn connection_cut_at_commit_counts_no_loss(db: &Db) {
    let mut counter = db.counter(1);
    let (proxy, url) = db.proxy();
    let conn = &mut Conn::establish(&url).unwrap();
    let (watch, metrics) = watched(|| {
        proxy.cut_before("COMMIT");
        let run = counter.lock().transaction(conn, |_, _| nothing());
        assert!(
            matches!(run, Err(LockError::CommitUnknown { .. })),
            "{run:?}"
        );
    });
    let span = watch.span();
    assert!(span.has("outcome", "commit_unknown"), "{span:?}");
    assert_eq!(metrics.count("lost_total counters"), 0);
}
