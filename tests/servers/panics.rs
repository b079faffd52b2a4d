//! A panic in a hook, at any moment of a call, leaves the lock free and does not abort the process.

use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::lock_pool_faults::in_front_of;
use crate::support::{Case, Clients, Counter, Db, Form, Hook, Locks, Then, When, panics, until};

#[cfg(all(feature = "tracing", feature = "metrics"))]
pub(crate) mod telemetry;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_panic_at_any_event_of_a_connection_leaves_the_lock_free),
        case!(a_hook_that_panics_from_any_event_on_leaves_the_lock_free),
        case!(a_panic_while_the_idle_limit_is_raised_leaves_the_lock_free),
        case!(a_panic_in_a_hook_of_a_lock_pool_lets_the_waiters_go_on),
        case!(a_panic_of_the_closure_with_a_panicking_hook_does_not_abort),
    ]
}

/// Nothing is left of a call that has panicked; its connection is still open.
fn assert_nothing_left(db: &Db, locks: &Locks, what: &str) {
    db.until_free(what);
    let state = locks.state();
    assert_eq!((state.names, state.waiting), (0, 0), "{what}");
}

/// Panics at the first event, then at the second, until the call ends before it has come so far.
fn at_each_event(db: &Db, then: fn() -> Then) {
    db.counter(1);
    for call in Form::all() {
        for nth in 0.. {
            let hook = Hook::default();
            let clients = &mut Clients::hooked(&db.url(), &hook);
            hook.arm(When::Nth(nth), then());
            let panicked = panics(|| clients.call(call, |_, _| Ok(())));
            if !hook.disarm() {
                assert!(nth > 3, "{call:?}: {nth} events");
                break;
            }
            let what = format!("{call:?} panics at event {nth}");
            assert!(panicked, "{what}");
            assert_nothing_left(db, &clients.locks, &what);
        }
    }
}

fn a_panic_at_any_event_of_a_connection_leaves_the_lock_free(db: &Db) {
    at_each_event(db, || Then::Panic);
}

fn a_hook_that_panics_from_any_event_on_leaves_the_lock_free(db: &Db) {
    at_each_event(db, || Then::PanicAlways);
}

fn a_panic_while_the_idle_limit_is_raised_leaves_the_lock_free(db: &Db) {
    db.counter(1);
    let a_year = Duration::from_secs(365 * 24 * 3_600);
    for then in [|| Then::Panic, || Then::PanicAlways] {
        for text in ["@@SESSION.wait_timeout", "SET SESSION wait_timeout"] {
            for form in [Form::Connection, Form::Set, Form::Pool, Form::LockPool] {
                let hook = Hook::default();
                let clients = &mut Clients::hooked(&db.url(), &hook);
                let Clients { conn, locks, .. } = clients;
                let mut counter = Counter { id: 1, value: 0 };
                hook.arm(When::Finish(text), then());
                let nothing = |_: &mut Counter, _: &mut MysqlConnection| Ok::<_, LockError>(());
                let panicked = panics(|| {
                    let set = LockAll::of((&mut counter, LockName::named("job")));
                    match form {
                        Form::Set => set.longest_hold(a_year).run(conn, |_, _| Ok(())),
                        _ => {
                            let request = counter.lock().longest_hold(a_year);
                            match form {
                                Form::Connection => request.run(conn, nothing),
                                Form::Pool => request.run_from(locks.pool(), nothing),
                                _ => request.run_from(locks, nothing),
                            }
                        }
                    }
                });
                assert!(hook.disarm() && panicked, "{form:?} {text}");
                assert_nothing_left(db, locks, &format!("{form:?} {text}"));
            }
        }
    }
}

fn a_panic_in_a_hook_of_a_lock_pool_lets_the_waiters_go_on(db: &Db) {
    db.counter(1);
    let add_one = |locks: &Locks| {
        let mut counter = Counter { id: 1, value: 0 };
        counter.lock().transaction_from(locks, Counter::add_one)
    };
    for when in [
        When::Finish("waits for lock"),
        When::Finish("BEGIN"),
        When::Finish("FROM `counters`"),
        When::Finish("CASE WHEN NOT (IS_USED_LOCK"),
        When::Finish("COMMIT"),
        When::Finish("UPDATE `counters`"),
    ] {
        let hook = Hook::default();
        let locks = &Clients::hooked(&db.url(), &hook).locks;
        hook.arm(when, Then::Panic);
        let others = || assert_eq!(add_one(locks), Ok(1));
        let panicked = in_front_of(db, locks, 3, others, || panics(|| add_one(locks)));
        assert!(hook.disarm() && panicked);
        db.assert_idle(locks);
    }
    // Three waiters each time, and the one whose COMMIT had been answered.
    assert_eq!(db.value(1), 6 * 3 + 1);
}

/// The guard ends the lock while the closure's panic unwinds.
fn a_panic_of_the_closure_with_a_panicking_hook_does_not_abort(db: &Db) {
    db.counter(1);
    for then in [|| Then::Panic, || Then::PanicAlways] {
        for call in Form::all() {
            let hook = Hook::default();
            let clients = &mut Clients::hooked(&db.url(), &hook);
            let panicked = panics(|| {
                clients.call(call, |_, _| {
                    hook.arm(When::Nth(0), then());
                    std::panic::resume_unwind(Box::new("on purpose"))
                })
            });
            assert!(panicked && hook.disarm(), "{call:?}");
            assert_nothing_left(db, &clients.locks, &format!("{call:?}"));
        }
    }
    until("no session is left", || db.waiting() == 0);
}
