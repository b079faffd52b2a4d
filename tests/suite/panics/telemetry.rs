//! Panics in a `tracing` subscriber and in a `metrics` recorder.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use diesel_advisory_lock::prelude::*;
use metrics::{
    Counter as CounterHandle, Gauge, Histogram, Key, KeyName, Metadata, NoopRecorder, Recorder,
    SharedString, Unit,
};
use server_test::{both, server_test};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::api::{recorded, thread};
use crate::suite::support::{Counter, Db, Path, panics, wait_until_queued};

/// Panics at the nth call, and with `always` at each later one.
#[derive(Clone)]
struct Trap(Arc<State>);

struct State {
    left: AtomicI64,
    always: bool,
    /// Calls that register other metrics do not count.
    gauges_only: bool,
    triggered: AtomicBool,
    /// A span's close has panicked.
    closing: AtomicBool,
}

impl Trap {
    fn new(nth: i64, always: bool) -> Self {
        Self::with(nth, always, false)
    }

    fn with(nth: i64, always: bool, gauges_only: bool) -> Self {
        Trap(Arc::new(State {
            left: AtomicI64::new(nth),
            always,
            gauges_only,
            triggered: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }))
    }

    fn call(&self) {
        let left = self.0.left.fetch_sub(1, Ordering::SeqCst);
        if left == 0 || (left < 0 && self.0.always) {
            self.0.triggered.store(true, Ordering::SeqCst);
            resume_unwind(Box::new("on purpose"));
        }
    }

    fn is_triggered(&self) -> bool {
        self.0.triggered.load(Ordering::SeqCst)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Trap {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.call();
    }

    fn on_record(&self, _: &Id, _: &Record<'_>, _: Context<'_, S>) {
        self.call();
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.call();
    }

    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        self.call();
    }

    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        // While a panic unwinds, `tracing` leaves the span, and the library cannot catch a panic.
        if !std::thread::panicking() {
            self.call();
        }
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        // A span that closes may close its parent, which `tracing-subscriber` does while the first
        // panic unwinds.
        if !(std::thread::panicking() && self.0.closing.load(Ordering::SeqCst)) {
            self.0.closing.store(true, Ordering::SeqCst);
            self.call();
            self.0.closing.store(false, Ordering::SeqCst);
        }
    }
}

impl Recorder for Trap {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> CounterHandle {
        if !self.0.gauges_only {
            self.call();
        }
        CounterHandle::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.call();
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        if !self.0.gauges_only {
            self.call();
        }
        Histogram::noop()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Subscriber,
    Recorder,
}

/// Makes calls that panic at the first record, at the second, and so on, until a call makes fewer
/// records.
#[both]
async fn at_each_call(db: &Db, of: Of) {
    db.counter(1).await;
    for always in [false, true] {
        for path in Path::essential() {
            for nth in 0.. {
                let trap = Trap::new(nth, always);
                let client = &mut path.client(db).await;
                let call = async || client.run_on_counter(async |_, _| Ok(())).await;
                let panicked = panics(async || match of {
                    Of::Subscriber => {
                        let subscriber = tracing_subscriber::registry().with(trap.clone());
                        recorded(&NoopRecorder, &Dispatch::new(subscriber), call).await
                    }
                    Of::Recorder => recorded(&trap, &Dispatch::none(), call).await,
                })
                .await;
                if !trap.is_triggered() {
                    assert!(nth > 1, "{path:?}: {nth} calls");
                    break;
                }
                let what = format!("{path:?} panics at call {nth}, always: {always}");
                assert!(panicked, "{what}");
                client.assert_nothing_left(db, &what).await;
            }
        }
    }
}

#[server_test]
async fn panic_at_any_call_of_a_subscriber_leaves_the_lock_free(db: &Db) {
    at_each_call(db, Of::Subscriber).await;
}

#[server_test]
async fn panic_at_any_call_of_a_recorder_leaves_the_lock_free(db: &Db) {
    at_each_call(db, Of::Recorder).await;
}

/// The waiter's recorder panics while the lock is handed to the waiter.
#[server_test]
async fn panic_of_a_waiter_that_was_handed_the_lock_releases_it(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(2).await;
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let acquire = async || {
        locks
            .acquire(name.lock())
            .await
            .unwrap()
            .release()
            .await
            .unwrap()
    };
    // The first call increments the gauge, and the second decrements it.
    let trap = &Trap::with(1, false, true);
    thread::scope(async |scope| {
        let holder = &mut db.conn().await;
        let held = name.lock().acquire(holder).await.unwrap();
        let first = scope.spawn(acquire);
        db.wait_until_sessions_wait(1).await;
        let second = scope.spawn(async || {
            panics(async || recorded(trap, &Dispatch::none(), acquire).await).await
        });
        wait_until_queued(locks, 1).await;
        let third = scope.spawn(acquire);
        wait_until_queued(locks, 2).await;
        held.release().await.unwrap();
        first.join().await.unwrap();
        assert!(second.join().await.unwrap() && trap.is_triggered());
        third.join().await.unwrap();
    })
    .await;
    db.assert_idle(locks).await;
}
