//! A panic in a hook, at any moment of a call, leaves the lock free and does not abort the process.

use std::time::Duration;

use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::lock_pool_faults::in_front_of;
use super::support::{Counter, Db, Form, Hook, Locks, Path, Then, Via, When, panics, second_lock};
use crate::server::{Conn, statement};

#[cfg(all(feature = "tracing", feature = "metrics"))]
#[path = "panics/telemetry.rs"]
mod telemetry;

/// Makes calls that panic at the first event, at the second, and so on, until a call has fewer
/// events.
#[both]
async fn at_each_event(db: &Db, then: fn() -> Then) {
    db.counter(1).await;
    for path in Path::essential() {
        for nth in 0.. {
            let hook = Hook::default();
            let client = &mut path.hooked_client(&db.url(), &hook).await;
            hook.arm(When::Nth(nth), then());
            let panicked = panics(async || client.run_on_counter(async |_, _| Ok(())).await).await;
            if !hook.disarm() {
                assert!(nth > 3, "{path:?}: {nth} events");
                break;
            }
            let what = format!("{path:?} panics at event {nth}");
            assert!(panicked, "{what}");
            client.assert_nothing_left(db, &what).await;
        }
    }
}

#[server_test]
async fn panic_at_any_event_of_a_connection_leaves_the_lock_free(db: &Db) {
    at_each_event(db, || Then::Panic).await;
}

#[server_test]
async fn hook_that_panics_repeatedly_leaves_the_lock_free(db: &Db) {
    at_each_event(db, || Then::PanicAlways).await;
}

#[both]
async fn nothing(_: &mut Counter, _: &mut Conn) -> Result<(), LockError> {
    Ok(())
}

#[server_test]
async fn panic_while_the_idle_timeout_is_raised_leaves_the_lock_free(db: &Db) {
    db.counter(1).await;
    let a_year = Duration::from_secs(365 * 24 * 3_600);
    for then in [|| Then::Panic, || Then::PanicAlways] {
        for text in statement::IDLE_TIMEOUT {
            for (via, form) in [
                (Via::Connection, Form::Run),
                (Via::Connection, Form::Set),
                (Via::LockPool, Form::Run),
            ] {
                let hook = Hook::default();
                let conn = &mut db.conn().await;
                hook.watch(conn);
                let locks = &db.hooked_locks(&hook).await;
                let mut counter = Counter { id: 1, value: 0 };
                hook.arm(When::Finish(text), then());
                let panicked = panics(async || {
                    if form == Form::Set {
                        let set = lock_all((&mut counter, second_lock()));
                        return set.keep_alive(a_year).run(conn, async |_, _| Ok(())).await;
                    }
                    let request = counter.lock().keep_alive(a_year);
                    match via {
                        Via::Connection => request.run(conn, nothing).await,
                        _ => locks.run(request, nothing).await,
                    }
                })
                .await;
                let what = format!("{via:?} {form:?} {text}");
                assert!(hook.disarm() && panicked, "{what}");
                db.wait_until_paths_are_free(&what).await;
                let state = locks.state();
                assert_eq!((state.names, state.waiting), (0, 0), "{what}");
            }
        }
    }
}

#[server_test]
async fn panic_in_a_hook_of_a_lock_pool_does_not_block_the_waiters(db: &Db) {
    db.counter(1).await;
    let add_one = async |locks: &Locks| {
        let mut counter = Counter { id: 1, value: 0 };
        locks.transaction(counter.lock(), Counter::add_one).await
    };
    for step in statement::OF_TRANSACTION {
        let hook = Hook::default();
        let locks = &db.hooked_locks(&hook).await;
        hook.arm(When::Finish(step), Then::Panic);
        let others = async || assert_eq!(add_one(locks).await, Ok(1));
        let panicked = in_front_of(db, locks, 3, others, async || {
            panics(async || add_one(locks).await).await
        })
        .await;
        assert!(hook.disarm() && panicked);
        db.assert_idle(locks).await;
    }
    // Three waiters in each round, and the request whose COMMIT had already succeeded.
    let rounds = i64::try_from(statement::OF_TRANSACTION.len()).unwrap();
    assert_eq!(db.value(1).await, rounds * 3 + 1);
}

/// The guard ends the lock while the closure's panic unwinds. In the async crate it removes the hook
/// before it ends the session, so no hook panics.
#[server_test(blocking)]
async fn panic_of_the_closure_with_a_panicking_hook_does_not_abort(db: &Db) {
    db.counter(1).await;
    for then in [|| Then::Panic, || Then::PanicAlways] {
        for path in Path::essential() {
            let hook = Hook::default();
            let client = &mut path.hooked_client(&db.url(), &hook).await;
            let panicked = panics(async || {
                client
                    .run_on_counter(async |_, _| {
                        hook.arm(When::Nth(0), then());
                        std::panic::resume_unwind(Box::new("on purpose"))
                    })
                    .await
            })
            .await;
            assert!(panicked && hook.disarm(), "{path:?}");
            client.assert_nothing_left(db, &format!("{path:?}")).await;
        }
    }
    db.wait_until_sessions_wait(0).await;
}
