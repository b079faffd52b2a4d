//! What `tracing` and `metrics` are told.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use metrics_util::debugging::DebuggingRecorder;
use tracing::Level;

use crate::support::{
    Case, Clients, Counter, Db, Form, Hook, Stingy, Then, When, Work, counters, panics, session_id,
    until, until_in_line,
};
use watch::{read, watched};

mod watch;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_lock_has_a_span_and_its_numbers),
        case!(a_model_is_told_to_be_read_again),
        case!(a_nested_lock_is_told_as_such_and_not_counted),
        case!(a_closure_runs_within_the_span),
        case!(several_locks_are_spans_within_spans),
        case!(a_wait_is_contention),
        case!(a_time_out_is_told_and_counted),
        case!(a_try_form_is_contention_and_no_time_out),
        case!(a_deadlock_is_told),
        case!(a_refusal_before_the_server_is_asked_is_told),
        case!(a_lost_lock_is_an_event),
        case!(a_release_that_fails_is_an_event_also_on_drop),
        case!(a_transaction_left_open_is_an_event),
        case!(a_hold_past_what_was_expected_is_an_event),
        case!(a_failed_look_up_is_an_event).private(),
        case!(who_is_handed_a_lock_has_a_span_of_its_own),
        case!(a_pool_without_a_connection_is_told),
        case!(metrics_never_have_a_key),
        case!(a_connection_cut_at_commit_is_no_loss),
        case!(named_locks_share_a_label_after_the_first_hundred),
        case!(the_gauge_of_a_line_counts_who_waits),
        case!(a_transaction_that_returns_an_error_is_no_event),
        case!(a_transaction_that_panics_is_no_event),
        case!(a_run_that_leaves_a_transaction_open_is_an_event_also_with_an_error),
        case!(a_release_that_fails_after_a_commit_is_a_warning_and_no_loss),
        case!(a_session_that_keeps_its_lock_is_an_event),
    ]
}

fn a_lock_has_a_span_and_its_numbers(db: &Db) {
    let conn = &mut db.conn();
    let name = LockName::row(counters::table, 7);
    let (watch, numbers) = watched(|| {
        let held = name.lock().acquire(conn).unwrap();
        thread::sleep(Duration::from_millis(50));
        held.release().unwrap();
    });
    let span = watch.span();
    assert!(span.has("name", "counters:7"), "{span:?}");
    assert!(span.has("outcome", "released") && span.has("nested", "false"));
    assert!(span.seconds("wait") < 5.0 && span.seconds("hold") >= 0.05);
    assert_eq!(span.fields.get("reread"), None);
    assert!(watch.events().is_empty());
    assert_eq!(numbers.values("wait_seconds counters").len(), 1);
    assert!(numbers.values("hold_seconds counters")[0] >= 0.05);
    // All of the table's counters are there, so that an alert sees the first increment.
    let counters: Vec<_> = numbers.counters.iter().collect();
    assert_eq!(counters.len(), 3, "{numbers:?}");
    assert!(
        counters.iter().all(|(_, count)| **count == 0),
        "{numbers:?}"
    );
}

fn a_model_is_told_to_be_read_again(db: &Db) {
    let (conn, mut counter) = (&mut db.conn(), db.counter(1));
    let (pool, _) = db.pool(1);
    let (watch, _) = watched(|| {
        counter.with_lock(conn, |_, _| nothing()).unwrap();
        counter.with_lock_from(&pool, |_, _| nothing()).unwrap();
        lock_all(&mut counter, conn, |_, _| nothing()).unwrap();
    });
    assert_eq!(watch.spans().len(), 3);
    for span in watch.spans() {
        assert!(span.has("reread", "true"), "{span:?}");
    }
}

fn nothing() -> Result<(), LockError> {
    Ok(())
}

fn a_nested_lock_is_told_as_such_and_not_counted(db: &Db) {
    let (conn, mut counter) = (&mut db.conn(), db.counter(1));
    let (watch, numbers) = watched(|| {
        counter
            .with_lock(conn, |counter, conn| {
                counter.with_lock(conn, |_, _| nothing())
            })
            .unwrap();
    });
    let [inner, outer] = &watch.spans()[..] else {
        panic!("two spans");
    };
    assert!(inner.has("nested", "true") && outer.has("nested", "false"));
    assert!(!inner.has("reread", "true") && outer.has("reread", "true"));
    assert_eq!(inner.parent.as_deref(), Some("counters:1"));
    assert_eq!(numbers.values("wait_seconds counters").len(), 1);
    assert_eq!(numbers.values("hold_seconds counters").len(), 1);
}

impl Counter {
    #[locked]
    fn tell(&mut self, conn: &mut MysqlConnection) -> QueryResult<()> {
        tracing::info!("in a method");
        let _ = conn;
        Ok(())
    }

    #[locked]
    fn tell_of_a_copy(&self, conn: &mut MysqlConnection) -> QueryResult<()> {
        tracing::info!("in a method on a copy");
        let _ = conn;
        Ok(())
    }
}

fn a_closure_runs_within_the_span(db: &Db) {
    let (conn, mut counter) = (&mut db.conn(), db.counter(1));
    let locks = db.locks(1);
    let (watch, _) = watched(|| {
        let told = || {
            tracing::info!("in a closure");
            nothing()
        };
        let name = counter.lock_name();
        name.lock().hold(conn, |_| told()).unwrap();
        name.lock().hold_from(&locks, |_| told()).unwrap();
        counter.lock().transaction(conn, |_, _| told()).unwrap();
        LockAll::of(&name).run(conn, |_, _| told()).unwrap();
        counter.tell(conn).unwrap();
        counter.tell_of_a_copy(conn).unwrap();
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

fn several_locks_are_spans_within_spans(db: &Db) {
    let conn = &mut db.conn();
    let names = ["a", "b", "c"].map(LockName::named);
    let (watch, _) = watched(|| {
        let all = names.to_vec();
        lock_all(all, conn, |_, _| {
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

fn a_wait_is_contention(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let id = session_id(waiter);
    let held = name.lock().acquire(holder).unwrap();
    let (watch, numbers) = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            watched(|| {
                let held = name.lock().acquire(waiter).unwrap();
                held.release().unwrap();
            })
        });
        db.until_waiting(id);
        thread::sleep(Duration::from_millis(100));
        held.release().unwrap();
        waiting.join().unwrap()
    });
    assert!(watch.span().seconds("wait") >= 0.1);
    assert!(watch.span().has("outcome", "released"));
    assert!(numbers.values("wait_seconds counters")[0] >= 0.1);
    assert_eq!(numbers.count("contended_total counters"), 1);
    assert_eq!(numbers.count("timeouts_total counters"), 0);
}

fn a_time_out_is_told_and_counted(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let _held = name.lock().acquire(holder).unwrap();
    let (watch, numbers) = watched(|| {
        let request = name.lock().timeout(Duration::from_millis(200));
        request.acquire(waiter).unwrap_err();
    });
    let span = watch.span();
    assert!(span.has("outcome", "timeout"), "{span:?}");
    assert!(span.seconds("wait") >= 0.2);
    assert_eq!(span.fields.get("hold"), None);
    assert_eq!(numbers.count("timeouts_total counters"), 1);
    assert_eq!(numbers.count("contended_total counters"), 1);
    assert!(numbers.values("wait_seconds counters")[0] >= 0.2);
    assert!(numbers.values("hold_seconds counters").is_empty());
}

fn a_try_form_is_contention_and_no_time_out(db: &Db) {
    let name = LockName::row(counters::table, 7);
    let (holder, other) = (&mut db.conn(), &mut db.conn());
    let _held = name.lock().acquire(holder).unwrap();
    let (watch, numbers) = watched(|| {
        assert!(name.lock().try_acquire(other).unwrap().is_none());
    });
    assert!(watch.span().has("outcome", "taken"));
    assert_eq!(numbers.count("timeouts_total counters"), 0);
    assert_eq!(numbers.count("contended_total counters"), 1);
}

fn a_deadlock_is_told(db: &Db) {
    let (one, other) = (&mut db.conn(), &mut db.conn());
    let ones_id = session_id(one);
    let [a, b] = ["a", "b"].map(LockName::named);
    let mut one = a.lock().acquire(one).unwrap();
    let mut other = b.lock().acquire(other).unwrap();
    let outcomes = thread::scope(|scope| {
        let waiting = scope.spawn(|| watched(|| drop(b.lock().acquire(&mut one))).0);
        db.until_waiting(ones_id);
        let (closing, _) = watched(|| drop(a.lock().acquire(&mut other)));
        drop(other);
        [closing, waiting.join().unwrap()].map(|watch| watch.span().fields["outcome"].clone())
    });
    // Either of them is refused, or both.
    assert!(outcomes.contains(&"deadlock".to_owned()), "{outcomes:?}");
}

fn a_refusal_before_the_server_is_asked_is_told(db: &Db) {
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

fn a_lost_lock_is_an_event(db: &Db) {
    let conn = &mut db.conn();
    let name = LockName::row(counters::table, 7);
    let (watch, numbers) = watched(|| {
        let mut held = name.lock().acquire(conn).unwrap();
        held.batch_execute("DO RELEASE_ALL_LOCKS()").unwrap();
        held.release().unwrap_err();
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::ERROR);
    assert!(fields["message"].contains("a lock was lost"), "{fields:?}");
    assert_eq!(fields["lock"], "counters:7");
    assert_eq!(fields["span"], "counters:7");
    assert!(watch.span().has("outcome", "lost"));
    assert_eq!(numbers.count("lost_total counters"), 1);

    // One loss, though both guards are told of it.
    let conn = &mut db.conn();
    let (_, numbers) = watched(|| {
        let mut outer = name.lock().acquire(conn).unwrap();
        let mut inner = name.lock().acquire(&mut outer).unwrap();
        diesel::sql_query("DO RELEASE_ALL_LOCKS()")
            .execute(&mut *inner)
            .unwrap();
        inner.release().unwrap_err();
        outer.release().unwrap_err();
    });
    assert_eq!(numbers.count("lost_total counters"), 1);
}

fn a_release_that_fails_is_an_event_also_on_drop(db: &Db) {
    let conn = &mut db.conn();
    let id = session_id(conn);
    let (watch, numbers) = watched(|| {
        let held = LockName::named("job").lock().acquire(conn).unwrap();
        db.execute(&format!("KILL {id}"));
        drop(held);
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::ERROR);
    assert!(fields["message"].contains("could not be released"));
    assert!(!fields["error"].is_empty());
    assert_eq!(numbers.count("lost_total =job"), 1);
}

fn a_transaction_left_open_is_an_event(db: &Db) {
    let conn = &mut db.conn();
    let (watch, numbers) = watched(|| {
        let mut held = LockName::named("job").lock().acquire(conn).unwrap();
        use diesel::connection::TransactionManager;
        type Manager = <MysqlConnection as Connection>::TransactionManager;
        Manager::begin_transaction(&mut *held).unwrap();
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::WARN);
    assert!(fields["error"].contains("was left open"), "{fields:?}");
    assert!(watch.span().has("outcome", "transaction_left_open"));
    assert_eq!(numbers.count("lost_total =job"), 0);
}

fn a_hold_past_what_was_expected_is_an_event(db: &Db) {
    let conn = &mut db.conn();
    let hold = |conn: &mut MysqlConnection, longest: u64, ms: u64| {
        let request = LockName::named("job").lock();
        request
            .longest_hold(Duration::from_millis(longest))
            .hold(conn, |_| {
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

/// On a server of its own, where no statement can be prepared any more.
fn a_failed_look_up_is_an_event(db: &Db) {
    let server = Stingy::start(db);
    let (holder, waiter) = (&mut server.conn(), &mut server.conn());
    let name = LockName::named("job");
    name.lock().acquire(waiter).unwrap().release().unwrap();
    let _held = name.lock().acquire(holder).unwrap();
    server.forbid();
    let (watch, _) = watched(|| {
        name.lock().no_wait().acquire(waiter).unwrap_err();
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::WARN);
    assert!(fields["message"].contains("could not be looked up"));
    server.permit();
}

fn who_is_handed_a_lock_has_a_span_of_its_own(db: &Db) {
    let locks = db.locks(1);
    let name = LockName::row(counters::table, 1);
    let held = name.lock().acquire_from(&locks).unwrap();
    let request = || {
        watched(|| {
            let held = name.lock().acquire_from(&locks).unwrap();
            thread::sleep(Duration::from_millis(50));
            held.release().unwrap();
        })
    };
    let told = thread::scope(|scope| {
        let second = scope.spawn(request);
        until_in_line(&locks, 1);
        // Waits when the second is granted the lock, and so is handed it.
        let third = scope.spawn(request);
        until_in_line(&locks, 2);
        held.release().unwrap();
        [second, third].map(|request| request.join().unwrap())
    });
    for (watch, numbers) in &told {
        assert_eq!(numbers.gauges["queued counters"], 0.0);
        let span = watch.span();
        assert!(span.has("outcome", "released"), "{span:?}");
        assert!(span.seconds("hold") >= 0.05, "{span:?}");
        assert_eq!(numbers.count("contended_total counters"), 1);
        assert_eq!(numbers.values("wait_seconds counters").len(), 1);
        assert_eq!(numbers.values("hold_seconds counters").len(), 1);
    }
    // The third waited for the second.
    assert!(told[1].0.span().seconds("wait") >= 0.05);
}

fn a_pool_without_a_connection_is_told(db: &Db) {
    let (pool, _) = db.pool(1);
    let _taken = pool.get().unwrap();
    let name = LockName::row(counters::table, 7);
    let (watch, numbers) = watched(|| {
        let request = name.lock().timeout(Duration::from_millis(100));
        let error = request.acquire_from(&pool).map(drop).unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    });
    assert!(watch.span().has("outcome", "pool"));
    assert_eq!(numbers.count("contended_total counters"), 0);
    assert_eq!(numbers.values("wait_seconds counters").len(), 1);
}

fn metrics_never_have_a_key(db: &Db) {
    let conn = &mut db.conn();
    let (_, numbers) = watched(|| {
        for key in 0..20 {
            let names = [
                LockName::row(counters::table, key),
                LockName::row(counters::table, key).scope(format!("scope {key}")),
                LockName::row(crate::support::documents::table, format!("Ä {key}")),
                LockName::table(counters::table),
                LockName::named(format!("job {key}")),
                LockName::exact(format!("{} exact {key}", db.schema)).unwrap(),
            ];
            for name in names {
                name.lock().acquire(conn).unwrap().release().unwrap();
            }
        }
    });
    let labels: Vec<_> = numbers.histograms.keys().map(String::as_str).collect();
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
    assert_eq!(numbers.values("hold_seconds counters").len(), 60);
}

/// The labels are the process's, and other cases use some of them.
fn named_locks_share_a_label_after_the_first_hundred(db: &Db) {
    let conn = &mut db.conn();
    let job = LockName::named("job");
    let (_, numbers) = watched(|| {
        // A label that other cases look for.
        job.lock().acquire(conn).unwrap().release().unwrap();
        for nth in 0..120 {
            let name = LockName::named(format!("label-{nth}"));
            name.lock().acquire(conn).unwrap().release().unwrap();
        }
    });
    let own = numbers
        .histograms
        .keys()
        .filter(|key| key.starts_with("hold_seconds =label-"))
        .count();
    let shared = numbers.values("hold_seconds (named)").len();
    assert_eq!(own + shared, 120);
    assert!((1..100).contains(&own), "{own}");
}

/// While it waits, and no longer, whether it is given the lock or not.
fn the_gauge_of_a_line_counts_who_waits(db: &Db) {
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
        let held = name.lock().acquire_from(locks).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                metrics::with_local_recorder(recorder, || {
                    name.lock().timeout(timeout).acquire_from(locks).is_ok()
                })
            });
            until("it waits", || change() == 1.0);
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

/// Calls that end in an error of the closure's own, or in its panic: all spans say so, and nothing warns.
fn rolls_back_quietly(db: &Db, end: fn() -> QueryResult<()>) {
    db.counter(1);
    for form in Form::of(Work::Transaction) {
        let clients = &mut db.clients();
        let (watch, _) = watched(|| {
            let failed = panics(|| {
                let call = (form, Work::Transaction);
                let result = clients.call(call, |counter, conn| {
                    counter.add_one(conn)?;
                    end()
                });
                assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
            });
            assert_eq!(failed, panics(end), "{form:?}");
        });
        assert_eq!(watch.events().len(), 0, "{form:?}: {:?}", watch.events());
        assert!(!watch.spans().is_empty());
        for span in watch.spans() {
            assert!(span.has("outcome", "rolled_back"), "{form:?}: {span:?}");
        }
    }
    assert_eq!(db.value(1), 0);
    // Nor does an error without a transaction, or one in a transaction of the closure's own.
    for form in Form::of(Work::Run) {
        let clients = &mut db.clients();
        let (watch, _) = watched(|| {
            panics(|| clients.call((form, Work::Run), |_, _| end()));
            panics(|| {
                clients.call((form, Work::Run), |counter, conn| {
                    conn.transaction(|conn| {
                        counter.add_one(conn)?;
                        Err(diesel::result::Error::RollbackTransaction)
                    })
                })
            });
        });
        assert_eq!(watch.events().len(), 0, "{form:?}: {:?}", watch.events());
    }
}

fn a_transaction_that_returns_an_error_is_no_event(db: &Db) {
    rolls_back_quietly(db, || Err(diesel::result::Error::RollbackTransaction));
}

fn a_transaction_that_panics_is_no_event(db: &Db) {
    rolls_back_quietly(db, || std::panic::resume_unwind(Box::new("on purpose")));
}

fn a_run_that_leaves_a_transaction_open_is_an_event_also_with_an_error(db: &Db) {
    use diesel::connection::TransactionManager;
    type Manager = <MysqlConnection as Connection>::TransactionManager;
    db.counter(1);
    for form in Form::of(Work::Run) {
        let clients = &mut db.clients();
        let (watch, _) = watched(|| {
            let result = clients.call((form, Work::Run), |_, conn| {
                Manager::begin_transaction(conn)?;
                Err(diesel::result::Error::RollbackTransaction)
            });
            assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
        });
        let events = watch.events();
        assert!(!events.is_empty(), "{form:?}");
        for (level, fields) in events {
            assert_eq!(level, Level::WARN, "{form:?}");
            assert!(fields["error"].contains("was left open"), "{fields:?}");
        }
    }
}

/// The session ends just before it would release its locks.
fn a_release_that_fails_after_a_commit_is_a_warning_and_no_loss(db: &Db) {
    db.counter(1);
    for form in Form::of(Work::Transaction) {
        let hook = Hook::default();
        let clients = &mut Clients::hooked(&db.url(), &hook);
        let kill = format!("KILL CONNECTION {}", clients.session(form));
        let mut killer = db.conn();
        let kill = move || killer.batch_execute(&kill).unwrap();
        hook.arm(When::Start("RELEASE_LOCK"), Then::Call(Box::new(kill)));
        let (watch, numbers) = watched(|| {
            let result = clients.call((form, Work::Transaction), |_, _| Ok(()));
            assert_eq!(result, Ok(()), "{form:?}");
        });
        let events = watch.events();
        assert!(!events.is_empty(), "{form:?}");
        for (level, fields) in events {
            assert_eq!(level, Level::WARN, "{form:?}");
            assert!(fields["message"].contains("after COMMIT"), "{fields:?}");
        }
        assert_eq!(numbers.count("lost_total counters"), 0, "{form:?}");
        assert_eq!(numbers.count("lost_total =job"), 0, "{form:?}");
    }
}

fn a_session_that_keeps_its_lock_is_an_event(db: &Db) {
    db.counter(1);
    for (form, work) in Form::all() {
        let clients = &mut db.clients();
        let (watch, numbers) = watched(|| {
            let result = clients.call((form, work), |counter, conn| {
                let written = counter.lock_name().written(&db.schema);
                conn.batch_execute(&format!("DO GET_LOCK('{written}', 0)"))
            });
            assert_eq!(result, Ok(()), "{form:?} {work:?}");
        });
        let (level, fields) = watch.event();
        assert_eq!(level, Level::WARN, "{form:?} {work:?}");
        assert!(fields["message"].contains("after its last release"));
        assert_eq!(fields["lock"], "counters:1");
        assert_eq!(numbers.count("lost_total counters"), 0);
    }
}

fn a_connection_cut_at_commit_is_no_loss(db: &Db) {
    let mut counter = db.counter(1);
    let (proxy, url) = db.proxy();
    let conn = &mut MysqlConnection::establish(&url).unwrap();
    let (watch, numbers) = watched(|| {
        proxy.cut_before("COMMIT");
        let run = counter.lock().transaction(conn, |_, _| nothing());
        assert!(
            matches!(run, Err(LockError::CommitUnknown { .. })),
            "{run:?}"
        );
    });
    let span = watch.span();
    assert!(span.has("outcome", "commit_unknown"), "{span:?}");
    assert_eq!(numbers.count("lost_total counters"), 0);
}
