//! What `tracing` and `metrics` record.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use metrics_util::debugging::DebuggingRecorder;
use server_test::{blocking, both, server_test};
use tracing::{Dispatch, Level};

#[blocking]
use super::lock_pool_faults::in_front_of;
use super::support::{
    Counter, Db, Hook, Path, Then, When, counters, documents, panics, wait_until, wait_until_queued,
};
use crate::api::{Connection, block_on, recorded, thread};
use crate::server::{self, Conn, session_id, statement};
use watch::{read, watched};

#[path = "telemetry/watch.rs"]
pub(crate) mod watch;

/// Begins a transaction that the guard or the closure leaves open.
#[blocking]
fn begin_transaction(conn: &mut Conn) -> diesel::QueryResult<()> {
    use diesel::connection::TransactionManager;

    <Conn as Connection>::TransactionManager::begin_transaction(conn)
}

#[server_test]
async fn lock_has_a_span_and_metrics(db: &Db) {
    let conn = &mut db.conn().await;
    let name = LockName::row(counters::table, 7);
    let (watch, metrics) = watched(async || {
        let held = name.lock().acquire(conn).await.unwrap();
        thread::sleep(Duration::from_millis(50)).await;
        held.release().await.unwrap();
    })
    .await;
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
async fn reload_is_recorded_in_the_span(db: &Db) {
    let (conn, mut counter) = (&mut db.conn().await, db.counter(1).await);
    let locks = db.locks(1).await;
    let (watch, _) = watched(async || {
        counter
            .with_lock(conn, async |_, _| nothing())
            .await
            .unwrap();
        locks
            .run(counter.lock(), async |_, _| nothing())
            .await
            .unwrap();
        lock_all(&mut counter)
            .run(conn, async |_, _| nothing())
            .await
            .unwrap();
    })
    .await;
    assert_eq!(watch.spans().len(), 3);
    for span in watch.spans() {
        assert!(span.has("reloaded", "true"), "{span:?}");
    }
}

fn nothing() -> Result<(), LockError> {
    Ok(())
}

#[server_test]
async fn nested_lock_has_a_span_and_no_metrics(db: &Db) {
    let (conn, mut counter) = (&mut db.conn().await, db.counter(1).await);
    let (watch, metrics) = watched(async || {
        counter
            .with_lock(conn, async |counter, conn| {
                counter.with_lock(conn, async |_, _| nothing()).await
            })
            .await
            .unwrap();
    })
    .await;
    let [inner, outer] = &watch.spans()[..] else {
        panic!("two spans");
    };
    assert!(inner.has("reentrant", "true") && outer.has("reentrant", "false"));
    assert!(!inner.has("reloaded", "true") && outer.has("reloaded", "true"));
    assert_eq!(inner.parent.as_deref(), Some("counters:1"));
    assert_eq!(metrics.values("wait_seconds counters").len(), 1);
    assert_eq!(metrics.values("hold_seconds counters").len(), 1);
}

#[both]
impl Counter {
    #[locked(conn = conn)]
    async fn log(&mut self, conn: &mut Conn) -> QueryResult<()> {
        tracing::info!("in a method");
        let _ = conn;
        Ok(())
    }

    #[locked(conn = conn)]
    async fn log_on_a_copy(&self, conn: &mut Conn) -> QueryResult<()> {
        tracing::info!("in a method on a copy");
        let _ = conn;
        Ok(())
    }
}

#[server_test]
async fn closure_runs_within_the_span(db: &Db) {
    let (conn, mut counter) = (&mut db.conn().await, db.counter(1).await);
    let locks = db.locks(1).await;
    let (watch, _) = watched(async || {
        let log = || {
            tracing::info!("in a closure");
            nothing()
        };
        let name = counter.lock_name();
        name.lock().run(conn, async |_, _| log()).await.unwrap();
        locks.run(name.lock(), async |_, _| log()).await.unwrap();
        counter
            .lock()
            .transaction(conn, async |_, _| log())
            .await
            .unwrap();
        lock_all(&name).run(conn, async |_, _| log()).await.unwrap();
        counter.log(conn).await.unwrap();
        counter.log_on_a_copy(conn).await.unwrap();
        tracing::info!("outside");
    })
    .await;
    let events = watch.events();
    let (outside, inside) = events.split_last().unwrap();
    assert_eq!(inside.len(), 6);
    for (_, fields) in inside {
        assert_eq!(fields.get("span").unwrap(), "counters:1", "{fields:?}");
    }
    assert_eq!(outside.1.get("span"), None);
}

#[server_test]
async fn locks_of_a_set_have_spans_within_spans(db: &Db) {
    let conn = &mut db.conn().await;
    let names = ["a", "b", "c"].map(LockName::named);
    let (watch, _) = watched(async || {
        let all = names.to_vec();
        lock_all(all)
            .run(conn, async |_, _| {
                tracing::info!("inside");
                nothing()
            })
            .await
            .unwrap();
    })
    .await;
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
async fn wait_is_counted_as_contention(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, waiter) = (&mut db.conn().await, &mut db.conn().await);
    let id = session_id(waiter).await;
    let held = name.lock().acquire(holder).await.unwrap();
    let (watch, metrics) = thread::scope(async |scope| {
        let waiting = scope.spawn(async || {
            watched(async || {
                let held = name.lock().acquire(waiter).await.unwrap();
                held.release().await.unwrap();
            })
            .await
        });
        db.wait_until_blocked(id).await;
        thread::sleep(Duration::from_millis(100)).await;
        held.release().await.unwrap();
        waiting.join().await.unwrap()
    })
    .await;
    assert!(watch.span().seconds("wait") >= 0.1);
    assert!(watch.span().has("outcome", "released"));
    assert!(metrics.values("wait_seconds counters")[0] >= 0.1);
    assert_eq!(metrics.count("contended_total counters"), 1);
    assert_eq!(metrics.count("timeouts_total counters"), 0);
}

#[server_test]
async fn timeout_is_recorded_and_counted(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, waiter) = (&mut db.conn().await, &mut db.conn().await);
    let _held = name.lock().acquire(holder).await.unwrap();
    let (watch, metrics) = watched(async || {
        let request = name.lock().timeout(Duration::from_millis(200));
        request.acquire(waiter).await.unwrap_err();
    })
    .await;
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
async fn try_form_is_counted_as_contention_and_not_as_timeout(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, other) = (&mut db.conn().await, &mut db.conn().await);
    let _held = name.lock().acquire(holder).await.unwrap();
    let (watch, metrics) = watched(async || {
        assert!(name.lock().try_acquire(other).await.unwrap().is_none());
    })
    .await;
    assert!(watch.span().has("outcome", "contended"));
    assert_eq!(metrics.count("timeouts_total counters"), 0);
    assert_eq!(metrics.count("contended_total counters"), 1);
}

#[server_test]
async fn deadlock_is_recorded(db: &Db) {
    let (one, other) = (&mut db.conn().await, &mut db.conn().await);
    let ones_id = session_id(one).await;
    let [a, b] = ["a", "b"].map(LockName::named);
    let mut one = a.lock().acquire(one).await.unwrap();
    let mut other = b.lock().acquire(other).await.unwrap();
    let outcomes = thread::scope(async |scope| {
        let waiting = scope.spawn(async move || {
            let (watch, _) = watched(async || drop(b.lock().acquire(&mut one).await)).await;
            // Otherwise the other session would wait for its timeout.
            drop(one);
            watch
        });
        db.wait_until_blocked(ones_id).await;
        let (closing, _) = watched(async || drop(a.lock().acquire(&mut other).await)).await;
        drop(other);
        [closing, waiting.join().await.unwrap()].map(|watch| watch.span().fields["outcome"].clone())
    })
    .await;
    // One session is refused, or both are.
    assert!(outcomes.contains(&"deadlock".to_owned()), "{outcomes:?}");
}

#[server_test]
async fn refusal_before_the_server_is_asked_is_recorded(db: &Db) {
    let conn = &mut db.conn().await;
    let (watch, _) = watched(async || {
        let name = LockName::exact("a").unwrap().scope("b");
        name.lock().acquire(conn).await.unwrap_err();
        conn.transaction(async |conn| {
            let name = LockName::named("job");
            QueryResult::Ok(name.lock().acquire(conn).await.map(drop).unwrap_err())
        })
        .await
        .unwrap();
    })
    .await;
    let outcomes: Vec<_> = watch
        .spans()
        .into_iter()
        .map(|span| span.fields["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["invalid_name", "open_transaction"]);
}

#[server_test]
async fn lost_lock_emits_an_event(db: &Db) {
    let conn = &mut db.conn().await;
    let name = LockName::row(counters::table, 7);
    let (watch, metrics) = watched(async || {
        let mut held = name.lock().acquire(conn).await.unwrap();
        server::release_all(&mut held).await.unwrap();
        held.release().await.unwrap_err();
    })
    .await;
    let (level, fields) = watch.event();
    assert_eq!(level, Level::ERROR);
    assert!(fields["message"].contains("a lock was lost"), "{fields:?}");
    assert_eq!(fields["lock"], "counters:7");
    assert_eq!(fields["span"], "counters:7");
    assert!(watch.span().has("outcome", "lost"));
    assert_eq!(metrics.count("lost_total counters"), 1);

    // One loss, although both guards report it.
    let conn = &mut db.conn().await;
    let (_, metrics) = watched(async || {
        let mut outer = name.lock().acquire(conn).await.unwrap();
        let mut inner = name.lock().acquire(&mut outer).await.unwrap();
        server::release_all(&mut inner).await.unwrap();
        inner.release().await.unwrap_err();
        outer.release().await.unwrap_err();
    })
    .await;
    assert_eq!(metrics.count("lost_total counters"), 1);
}

/// A future cannot wait in a `Drop` for the server's answer: it ends the session.
#[server_test(blocking)]
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

/// In the async crate, dropping a guard ends the session, and its transaction with it.
#[server_test(blocking)]
fn transaction_left_open_emits_an_event(db: &Db) {
    let conn = &mut db.conn();
    let (watch, metrics) = watched(|| {
        let mut held = LockName::named("job").lock().acquire(conn).unwrap();
        begin_transaction(&mut held).unwrap();
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::WARN);
    assert!(fields["error"].contains("was left open"), "{fields:?}");
    assert!(watch.span().has("outcome", "transaction_left_open"));
    assert_eq!(metrics.count("lost_total =job"), 0);
}

#[server_test]
async fn hold_past_the_keep_alive_emits_an_event(db: &Db) {
    let conn = &mut db.conn().await;
    let hold = async |conn: &mut Conn, longest: u64, ms: u64| {
        let request = LockName::named("job").lock();
        request
            .keep_alive(Duration::from_millis(longest))
            .run(conn, async |_, _| {
                thread::sleep(Duration::from_millis(ms)).await;
                nothing()
            })
            .await
            .unwrap();
    };
    let (watch, _) = watched(async || hold(conn, 5_000, 50).await).await;
    assert!(watch.events().is_empty());
    let (watch, _) = watched(async || hold(conn, 20, 50).await).await;
    let (level, fields) = watch.event();
    assert_eq!(level, Level::WARN);
    assert!(fields["message"].contains("held for longer"), "{fields:?}");
    assert_eq!(fields["expected"], "0.02");
    assert!(fields["hold"].parse::<f64>().unwrap() >= 0.05);
}

#[server_test]
async fn request_that_is_handed_a_lock_has_a_span(db: &Db) {
    let locks = db.locks(1).await;
    let name = LockName::row(counters::table, 1);
    let held = locks.acquire(name.lock()).await.unwrap();
    let request = async || {
        watched(async || {
            let held = locks.acquire(name.lock()).await.unwrap();
            thread::sleep(Duration::from_millis(50)).await;
            held.release().await.unwrap();
        })
        .await
    };
    let seen = thread::scope(async |scope| {
        let second = scope.spawn(request);
        wait_until_queued(&locks, 1).await;
        // The third is queued when the server grants the second the lock, so it is handed the lock.
        let third = scope.spawn(request);
        wait_until_queued(&locks, 2).await;
        held.release().await.unwrap();
        [second.join().await.unwrap(), third.join().await.unwrap()]
    })
    .await;
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
async fn exhausted_pool_is_recorded(db: &Db) {
    let (pool, _) = db.pool(1).await;
    let _taken = pool.get().await.unwrap();
    let name = LockName::row(counters::table, 7);
    let (watch, metrics) = watched(async || {
        let request = name.lock().timeout(Duration::from_millis(100));
        let error = LockPool::new(pool.clone())
            .acquire(request)
            .await
            .map(drop)
            .unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    })
    .await;
    assert!(watch.span().has("outcome", "pool"));
    assert_eq!(metrics.count("contended_total counters"), 0);
    assert_eq!(metrics.values("wait_seconds counters").len(), 1);
}

#[server_test]
async fn metric_labels_contain_no_row_key(db: &Db) {
    let conn = &mut db.conn().await;
    let (_, metrics) = watched(async || {
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
                name.lock()
                    .acquire(conn)
                    .await
                    .unwrap()
                    .release()
                    .await
                    .unwrap();
            }
        }
    })
    .await;
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
async fn named_locks_share_a_label_after_the_first_hundred(db: &Db) {
    let conn = &mut db.conn().await;
    let job = LockName::named("job");
    let (_, metrics) = watched(async || {
        // Other cases expect this label, so it must be one of the first hundred.
        job.lock()
            .acquire(conn)
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        for nth in 0..120 {
            let name = LockName::named(format!("label-{nth}"));
            name.lock()
                .acquire(conn)
                .await
                .unwrap()
                .release()
                .await
                .unwrap();
        }
    })
    .await;
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
async fn queue_gauge_counts_waiting_requests(db: &Db) {
    let locks = &db.locks(1).await;
    let name = &LockName::row(counters::table, 1);
    for timeout in [Duration::from_secs(20), Duration::from_millis(300)] {
        let recorder = &DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        // A snapshot sets the gauge back to 0.
        let change = || {
            let gauges = read(&snapshotter).gauges;
            gauges.get("queued counters").copied().unwrap_or(0.0)
        };
        let held = locks.acquire(name.lock()).await.unwrap();
        thread::scope(async |scope| {
            let waiting = scope.spawn(async move || {
                recorded(recorder, &Dispatch::none(), async || {
                    locks.acquire(name.lock().timeout(timeout)).await.is_ok()
                })
                .await
            });
            wait_until("the request waits", async || change() == 1.0).await;
            if timeout < Duration::from_secs(1) {
                assert!(!waiting.join().await.unwrap());
                assert_eq!(change(), -1.0);
                held.release().await.unwrap();
            } else {
                held.release().await.unwrap();
                assert!(waiting.join().await.unwrap());
                assert_eq!(change(), -1.0);
            }
        })
        .await;
    }
    db.assert_idle(locks).await;
}

/// Asserts that calls whose closure ends by `end` record the rollback in all spans, and emit no
/// event.
#[both]
async fn assert_rolls_back_without_an_event(db: &Db, end: fn() -> QueryResult<()>) {
    db.counter(1).await;
    for path in Path::essential_transactions() {
        let client = &mut path.client(db).await;
        let (watch, _) = watched(async || {
            let failed = panics(async || {
                let result = client
                    .run_on_counter(async |counter, conn| {
                        counter.add_one(conn).await?;
                        end()
                    })
                    .await;
                assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
            })
            .await;
            let expected = panics(async || drop(end())).await;
            assert_eq!(failed, expected, "{path:?}");
        })
        .await;
        assert_eq!(watch.events().len(), 0, "{path:?}: {:?}", watch.events());
        assert!(!watch.spans().is_empty());
        for span in watch.spans() {
            assert!(span.has("outcome", "rolled_back"), "{path:?}: {span:?}");
        }
    }
    assert_eq!(db.value(1).await, 0);
    // Neither does an error without a transaction, or inside one that the closure began.
    for path in Path::essential_runs() {
        let client = &mut path.client(db).await;
        let (watch, _) = watched(async || {
            panics(async || client.run_on_counter(async |_, _| end()).await).await;
            panics(async || {
                client
                    .run_on_counter(async |counter, conn| {
                        conn.transaction(async |conn| {
                            counter.add_one(conn).await?;
                            Err(diesel::result::Error::RollbackTransaction)
                        })
                        .await
                    })
                    .await
            })
            .await;
        })
        .await;
        assert_eq!(watch.events().len(), 0, "{path:?}: {:?}", watch.events());
    }
}

#[server_test]
async fn transaction_that_returns_an_error_emits_no_event(db: &Db) {
    assert_rolls_back_without_an_event(db, || Err(diesel::result::Error::RollbackTransaction))
        .await;
}

/// In the async crate, a panic ends the session.
#[server_test(blocking)]
async fn transaction_that_panics_emits_no_event(db: &Db) {
    assert_rolls_back_without_an_event(db, || std::panic::resume_unwind(Box::new("on purpose")))
        .await;
}

/// In the async crate, the guard that an error drops ends the session.
#[server_test(blocking)]
async fn run_that_leaves_a_transaction_open_emits_an_event_even_with_an_error(db: &Db) {
    db.counter(1).await;
    for path in Path::essential_runs() {
        let client = &mut path.client(db).await;
        let (watch, _) = watched(async || {
            let result = client
                .run_on_counter(async |_, conn| {
                    begin_transaction(conn)?;
                    Err(diesel::result::Error::RollbackTransaction)
                })
                .await;
            assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
        })
        .await;
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
async fn every_span_of_locks_that_precede_their_transaction_has_an_outcome(db: &Db) {
    db.lock_before_begin().await;
    db.counter(1).await;
    for path in Path::essential_transactions() {
        let client = &mut path.client(db).await;
        for _ in 0..2 {
            let (watch, _) =
                watched(async || client.run_on_counter(async |_, _| Ok(())).await.unwrap()).await;
            assert!(!watch.spans().is_empty());
            for span in watch.spans() {
                assert!(span.has("outcome", "released"), "{path:?}: {span:?}");
            }
        }
    }
}

/// The session ends just before it would release its locks.
#[server_test]
async fn failed_release_after_commit_emits_a_warning_and_counts_no_loss(db: &Db) {
    db.lock_before_begin().await;
    db.counter(1).await;
    for path in Path::essential_transactions() {
        let hook = Hook::default();
        let client = &mut path.hooked_client(&db.url(), &hook).await;
        let session = client.session_id().await;
        let url = db.url();
        let kill = move || {
            block_on(async || {
                let mut killer = Conn::establish(&url).await.unwrap();
                server::kill_session(&mut killer, session).await.unwrap();
            });
        };
        hook.arm(When::Start(statement::RELEASE), Then::Call(Box::new(kill)));
        let (watch, metrics) = watched(async || {
            let result = client.run_on_counter(async |_, _| Ok(())).await;
            assert_eq!(result, Ok(()), "{path:?}");
        })
        .await;
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
/// it would release the lock. A hook that waits would block the future of the next request.
#[server_test(blocking)]
fn failed_release_after_a_handoff_without_a_taker_emits_an_event(db: &Db) {
    db.counter(1);
    let hook = &Hook::default();
    let locks = &db.hooked_locks(hook);
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
async fn session_that_keeps_its_lock_emits_an_event(db: &Db) {
    db.counter(1).await;
    for path in Path::essential() {
        let client = &mut path.client(db).await;
        let (watch, metrics) = watched(async || {
            let result = client
                .run_on_counter(async |counter, conn| {
                    std::mem::forget(counter.lock_name().lock().acquire(conn).await?);
                    Ok(())
                })
                .await;
            assert_eq!(result, Ok(()), "{path:?}");
        })
        .await;
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
async fn connection_cut_at_commit_counts_no_loss(db: &Db) {
    let mut counter = db.counter(1).await;
    let (proxy, url) = db.proxy();
    let conn = &mut Conn::establish(&url).await.unwrap();
    let (watch, metrics) = watched(async || {
        proxy.cut_before(statement::COMMIT);
        let run = counter
            .lock()
            .transaction(conn, async |_, _| nothing())
            .await;
        assert!(
            matches!(run, Err(LockError::CommitUnknown { .. })),
            "{run:?}"
        );
    })
    .await;
    let span = watch.span();
    assert!(span.has("outcome", "commit_unknown"), "{span:?}");
    assert_eq!(metrics.count("lost_total counters"), 0);
}
