//! The wait queue of `LockPool` by itself: order, counts, handoffs, wakers and memory.

#[path = "../src/pool/sync.rs"]
mod sync;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the library's module, of which a part is tested"
)]
#[path = "../src/pool/wait_queue.rs"]
mod wait_queue;

use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use allocation_counter::measure;

use wait_queue::{Accepts, Enqueued, Granted, Permit, Phase, WaitQueue, Waiter};

type Name = &'static str;
type Queue<T> = Arc<WaitQueue<Name, T>>;

fn queue<T>() -> Queue<T> {
    Arc::new(WaitQueue::new())
}

#[track_caller]
fn first<T>(queue: &Queue<T>, name: Name) -> Permit<Name, T> {
    match queue.enqueue(&name, Accepts::Handoff) {
        Enqueued::First(permit) => permit,
        Enqueued::Behind(_) => panic!("`{name}` is in use"),
    }
}

#[track_caller]
fn behind<T>(queue: &Queue<T>, name: Name, accepts: Accepts<Name>) -> Waiter<Name, T> {
    match queue.enqueue(&name, accepts) {
        Enqueued::First(_) => panic!("`{name}` is not in use"),
        Enqueued::Behind(waiter) => waiter,
    }
}

fn poll_with<T>(waiter: &mut Waiter<Name, T>, waker: &Waker) -> Option<Granted<Name, T>> {
    match Pin::new(waiter).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(given) => Some(given),
        Poll::Pending => None,
    }
}

fn poll<T>(waiter: &mut Waiter<Name, T>) -> Option<Granted<Name, T>> {
    poll_with(waiter, Waker::noop())
}

#[track_caller]
fn ready<T>(waiter: &mut Waiter<Name, T>) -> Granted<Name, T> {
    poll(waiter).expect("the waiter was given the permit")
}

#[derive(Default)]
struct WakeCount(AtomicUsize);

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl WakeCount {
    fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(WakeCount::default());
        (Arc::clone(&count), Waker::from(count))
    }

    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// Fails a test that would otherwise hang.
#[track_caller]
fn finishes_in_time(body: impl FnOnce() + Send + 'static) {
    let (sender, finished) = mpsc::channel();
    thread::spawn(move || {
        body();
        sender.send(())
    });
    let result = finished.recv_timeout(Duration::from_secs(10));
    result.expect("the test panicked or hangs");
}

#[test]
fn waiters_are_served_fifo() {
    let queue = queue::<()>();
    let mut permit = first(&queue, "a");
    let waiters: Vec<_> = (0..30)
        .map(|_| behind(&queue, "a", Accepts::Handoff))
        .collect();
    let mut waiters = waiters.into_iter();
    while let Some(mut waiter) = waiters.next() {
        drop(permit);
        for behind in waiters.as_mut_slice() {
            assert!(poll(behind).is_none(), "was overtaken");
        }
        (permit, _) = ready(&mut waiter);
    }
    drop(permit);
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn names_do_not_wait_for_each_other() {
    let queue = queue::<()>();
    let _a = first(&queue, "a");
    let b = first(&queue, "b");
    let mut behind_a = behind(&queue, "a", Accepts::Handoff);
    let mut behind_b = behind(&queue, "b", Accepts::Handoff);
    drop(b);
    assert!(poll(&mut behind_a).is_none());
    drop(ready(&mut behind_b));
}

#[test]
fn size_counts_names_in_use_and_waiters() {
    let queue = queue::<()>();
    let (a, b) = (first(&queue, "a"), first(&queue, "b"));
    let waiter = behind(&queue, "a", Accepts::PermitOnly);
    let other = behind(&queue, "a", Accepts::Handoff);
    let behind_b = behind(&queue, "b", Accepts::Handoff);
    assert_eq!(queue.size(), (2, 3));
    assert_eq!((a.waiter_count(), b.waiter_count()), (2, 1));
    drop(waiter);
    assert_eq!(queue.size(), (2, 2));
    assert_eq!(a.waiter_count(), 1);
    // A waiter that was given the permit no longer waits.
    drop(a);
    assert_eq!(queue.size(), (2, 1));
    drop((other, b, behind_b));
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn handoff_count_is_zero_unless_the_first_waiter_accepts_exactly_the_set() {
    let set = |names: &[Name]| Accepts::HandoffOfSet(Arc::from(names));
    let cases: [(Accepts<Name>, &[Name], usize); 11] = [
        (Accepts::Handoff, &["a"], 2),
        (Accepts::Handoff, &["b"], 0),
        (Accepts::Handoff, &["a", "b"], 0),
        (Accepts::PermitOnly, &["a"], 0),
        (Accepts::PermitOnly, &["a", "b"], 0),
        (set(&["a", "b"]), &["a", "b"], 2),
        (set(&["a", "b"]), &["a"], 0),
        (set(&["a", "b"]), &["a", "b", "c"], 0),
        (set(&["a", "b"]), &["a", "c"], 0),
        (set(&["a", "b"]), &[], 0),
        (set(&["a"]), &["a"], 2),
    ];
    for (accepts, handed_off, expected) in cases {
        let queue = queue::<u32>();
        let permit = first(&queue, "a");
        assert_eq!(permit.handoff_count(handed_off), 0, "no waiter yet");
        let mut waiter = behind(&queue, "a", accepts.clone());
        let _second = behind(&queue, "a", Accepts::Handoff);
        let count = permit.handoff_count(handed_off);
        assert_eq!(count, expected, "{accepts:?}, {handed_off:?}");
        assert_eq!(permit.waiter_count(), 2);
        // `hand_off` agrees with the count.
        match permit.hand_off(handed_off, 7) {
            Ok(()) => {
                assert!(expected > 0, "{accepts:?}, {handed_off:?}");
                assert_eq!(ready(&mut waiter).1, Some(7));
            }
            Err((permit, payload)) => {
                assert_eq!((expected, payload), (0, 7), "{accepts:?}, {handed_off:?}");
                assert!(poll(&mut waiter).is_none());
                drop(permit);
                assert_eq!(ready(&mut waiter).1, None);
            }
        }
    }
}

#[test]
fn handoff_without_waiter_returns_the_permit_and_the_payload() {
    let queue = queue();
    let Err((permit, payload)) = first(&queue, "a").hand_off(&["a"], 7) else {
        panic!("nothing waits");
    };
    assert_eq!(payload, 7);
    assert_eq!(queue.size(), (1, 0));
    drop(permit);
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn set_is_handed_off_with_the_permits_of_its_other_names() {
    struct Set(#[expect(dead_code, reason = "dropped with the set")] Permit<Name, Set>);
    let queue = queue::<Set>();
    let (a, b) = (first(&queue, "a"), first(&queue, "b"));
    let mut set_waiter = behind(&queue, "a", Accepts::HandoffOfSet(Arc::from(["a", "b"])));
    let mut behind_b = behind(&queue, "b", Accepts::Handoff);
    assert!(a.hand_off(&["a", "b"], Set(b)).is_ok());
    let (a, set) = ready(&mut set_waiter);
    assert!(poll(&mut behind_b).is_none(), "`b` is part of the set");
    drop(set);
    drop(ready(&mut behind_b));
    assert_eq!(queue.size(), (1, 0));
    drop(a);
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn set_waiter_behind_a_single_waiter_is_given_the_permit_only() {
    let queue = queue();
    let permit = first(&queue, "a");
    let mut single = behind(&queue, "a", Accepts::Handoff);
    let mut set = behind(&queue, "a", Accepts::HandoffOfSet(Arc::from(["a", "b"])));
    let Err((permit, _)) = permit.hand_off(&["a", "b"], "set") else {
        panic!("the first waiter does not accept a set");
    };
    assert!(permit.hand_off(&["a"], "single").is_ok());
    let (permit, payload) = ready(&mut single);
    assert_eq!(payload, Some("single"));
    let Err((permit, _)) = permit.hand_off(&["a"], "single") else {
        panic!("the set's waiter does not accept a single lock");
    };
    drop(permit);
    assert_eq!(ready(&mut set).1, None);
}

#[test]
fn cancelled_waiters_are_passed_over() {
    let queue = queue();
    let permit = first(&queue, "a");
    let mut waiters: Vec<_> = (0..5)
        .map(|_| behind(&queue, "a", Accepts::Handoff))
        .collect();
    poll(&mut waiters[1]);
    drop(waiters.remove(1));
    waiters.remove(0).cancel();
    assert_eq!(permit.waiter_count(), 3);
    assert!(permit.hand_off(&["a"], 7).is_ok());
    let (permit, payload) = ready(&mut waiters[0]);
    assert_eq!((payload, permit.waiter_count()), (Some(7), 2));
}

/// Logs its drop.
struct Logged(Arc<Mutex<Vec<&'static str>>>);

impl Drop for Logged {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("payload dropped");
    }
}

struct WakeLog(Arc<Mutex<Vec<&'static str>>>);

impl Wake for WakeLog {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push("next woken");
    }
}

#[test]
fn waiter_cancelled_after_a_handoff_drops_the_payload_and_then_passes_on_the_permit() {
    let log = Arc::default();
    let queue = queue();
    let permit = first(&queue, "a");
    let waiter = behind(&queue, "a", Accepts::Handoff);
    let mut next = behind(&queue, "a", Accepts::Handoff);
    poll_with(&mut next, &Waker::from(Arc::new(WakeLog(Arc::clone(&log)))));
    assert!(permit.hand_off(&["a"], Logged(Arc::clone(&log))).is_ok());
    drop(waiter);
    assert_eq!(*log.lock().unwrap(), ["payload dropped", "next woken"]);
    assert!(ready(&mut next).1.is_none());
}

#[test]
fn panic_in_the_drop_of_the_payload_does_not_lose_the_permit() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("the caller's metrics recorder panics");
        }
    }
    let queue = queue();
    let permit = first(&queue, "a");
    let waiter = behind(&queue, "a", Accepts::Handoff);
    let mut next = behind(&queue, "a", Accepts::Handoff);
    assert!(permit.hand_off(&["a"], PanicsOnDrop).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(waiter))).is_err());
    let (permit, payload) = ready(&mut next);
    assert!(payload.is_none());
    drop(permit);
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn panic_in_a_waker_does_not_lose_the_permit() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the caller's waker panics");
        }
    }
    let queue = queue();
    let mut permit = first(&queue, "a");
    let waker = Waker::from(Arc::new(Panics));
    for is_handed_off in [true, false] {
        let mut waiter = behind(&queue, "a", Accepts::Handoff);
        poll_with(&mut waiter, &waker);
        let passes_on = AssertUnwindSafe(|| match is_handed_off {
            true => drop(permit.hand_off(&["a"], 7)),
            false => drop(permit),
        });
        assert!(catch_unwind(passes_on).is_err());
        let payload;
        (permit, payload) = ready(&mut waiter);
        assert_eq!(payload, is_handed_off.then_some(7));
    }
    drop(permit);
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn panic_under_the_mutex_leaves_the_queue_usable() {
    #[derive(Clone, PartialEq, Eq)]
    struct Name {
        panics: bool,
    }
    impl Hash for Name {
        fn hash<H: Hasher>(&self, _: &mut H) {
            assert!(!self.panics, "a name that cannot be hashed");
        }
    }
    let queue: Arc<WaitQueue<Name, ()>> = Arc::new(WaitQueue::new());
    let [good, bad] = [false, true].map(|panics| Name { panics });
    let permit = queue.enqueue(&good, Accepts::Handoff);
    let enqueue = AssertUnwindSafe(|| drop(queue.enqueue(&bad, Accepts::Handoff)));
    assert!(catch_unwind(enqueue).is_err());
    assert_eq!(queue.size(), (1, 0));
    drop(permit);
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn waiter_polled_again_is_woken_by_the_newest_waker_only() {
    let queue = queue::<()>();
    let permit = first(&queue, "a");
    let mut waiter = behind(&queue, "a", Accepts::Handoff);
    let ((old, old_waker), (new, new_waker)) = (WakeCount::new(), WakeCount::new());
    poll_with(&mut waiter, &old_waker);
    poll_with(&mut waiter, &new_waker);
    poll_with(&mut waiter, &new_waker);
    drop(old_waker);
    assert_eq!(Arc::strong_count(&old), 1, "the old waker is kept");
    drop(permit);
    assert_eq!((old.get(), new.get()), (0, 1));
    drop(ready(&mut waiter));
}

#[test]
fn only_the_first_waiter_is_woken() {
    let queue = queue();
    let permit = first(&queue, "a");
    let mut waiters = [(); 3].map(|()| behind(&queue, "a", Accepts::Handoff));
    let wakers = [(); 3].map(|()| WakeCount::new());
    for (waiter, (_, waker)) in waiters.iter_mut().zip(&wakers) {
        poll_with(waiter, waker);
    }
    let woken = || wakers.each_ref().map(|(count, _)| count.get());
    assert!(permit.hand_off(&["a"], 7).is_ok());
    assert_eq!(woken(), [1, 0, 0]);
    drop(ready(&mut waiters[0]));
    assert_eq!(woken(), [1, 1, 0]);
}

/// Locks the queue's mutex when it is woken and when it is dropped, as a waker's task may.
struct LocksQueue(Queue<u32>);

impl Wake for LocksQueue {
    fn wake(self: Arc<Self>) {
        self.0.size();
    }
}

impl Drop for LocksQueue {
    fn drop(&mut self) {
        self.0.size();
    }
}

impl LocksQueue {
    fn waker(queue: &Queue<u32>) -> Waker {
        Waker::from(Arc::new(LocksQueue(Arc::clone(queue))))
    }
}

#[test]
fn wakers_are_woken_after_the_mutex_is_unlocked() {
    finishes_in_time(|| {
        let queue = queue();
        let permit = first(&queue, "a");
        let mut waiter = behind(&queue, "a", Accepts::Handoff);
        let mut next = behind(&queue, "a", Accepts::Handoff);
        poll_with(&mut waiter, &LocksQueue::waker(&queue));
        poll_with(&mut next, &LocksQueue::waker(&queue));
        assert!(permit.hand_off(&["a"], 7).is_ok());
        drop(ready(&mut waiter));
        drop(ready(&mut next));
    });
}

#[test]
fn wakers_are_dropped_after_the_mutex_is_unlocked() {
    finishes_in_time(|| {
        let queue = queue();
        let permit = first(&queue, "a");
        let mut waiter = behind(&queue, "a", Accepts::Handoff);
        for _ in 0..2 {
            poll_with(&mut waiter, &LocksQueue::waker(&queue));
        }
        drop(waiter);
        let mut waiter = behind(&queue, "a", Accepts::Handoff);
        drop(permit);
        // The permit is ready, so this waker is not kept.
        let waker = LocksQueue::waker(&queue);
        let given = poll_with(&mut waiter, &waker);
        drop(waker);
        assert!(given.is_some());
    });
}

#[test]
fn waiter_sees_the_phase_of_the_permit_in_front() {
    let queue = queue();
    let permit = first(&queue, "a");
    let mut waiter = behind(&queue, "a", Accepts::Handoff);
    let mut next = behind(&queue, "a", Accepts::Handoff);
    assert_eq!(next.phase(), Some(Phase::Connecting));
    for phase in [Phase::Asking, Phase::Holding, Phase::Running(7)] {
        permit.set_phase(phase);
        assert_eq!(next.phase(), Some(phase));
    }
    let cancelled = behind(&queue, "a", Accepts::Handoff);
    assert_eq!(cancelled.cancel(), Some(Phase::Running(7)));
    assert!(permit.hand_off(&["a"], 7).is_ok());
    assert_eq!(next.phase(), Some(Phase::Holding));
    drop(ready(&mut waiter));
    let last = behind(&queue, "a", Accepts::Handoff);
    assert_eq!(last.phase(), Some(Phase::Connecting));
    drop(ready(&mut next));
    assert_eq!(last.cancel(), None, "no permit is in front");
}

#[test]
fn wait_behind_a_set_ends_with_the_phase_that_the_set_waits_for() {
    let queue = queue::<()>();
    let in_front = first(&queue, "b");
    let set = first(&queue, "a");
    let of_set = behind(&queue, "b", Accepts::PermitOnly);
    set.set_waits_at(&"b");
    for phase in [Phase::Connecting, Phase::Asking, Phase::Running(7)] {
        in_front.set_phase(phase);
        let waiter = behind(&queue, "a", Accepts::Handoff);
        assert_eq!(waiter.cancel(), Some(phase));
    }
    drop(of_set);
    set.set_phase(Phase::Holding);
    let waiter = behind(&queue, "a", Accepts::Handoff);
    assert_eq!(waiter.cancel(), Some(Phase::Holding));
}

#[test]
fn thread_is_woken_when_it_is_given_the_permit() {
    finishes_in_time(|| {
        let queue = queue();
        let permit = first(&queue, "a");
        let waiter = behind(&queue, "a", Accepts::Handoff);
        let waits = thread::spawn(move || waiter.wait_until(None).map(|(_, payload)| payload));
        // It waits on when it is unparked for another reason.
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(2));
            waits.thread().unpark();
        }
        assert!(!waits.is_finished());
        assert!(permit.hand_off(&["a"], 7).is_ok());
        assert_eq!(waits.join().unwrap(), Ok(Some(7)));
    });
}

#[test]
fn wait_ends_at_the_deadline_with_the_phase_of_the_permit_in_front() {
    finishes_in_time(|| {
        let queue = queue::<()>();
        let permit = first(&queue, "a");
        permit.set_phase(Phase::Asking);
        let waiter = behind(&queue, "a", Accepts::Handoff);
        let limit = Duration::from_millis(50);
        let start = Instant::now();
        let result = waiter.wait_until(Some(start + limit));
        assert_eq!(result.err(), Some(Some(Phase::Asking)));
        assert!(start.elapsed() >= limit);
        assert_eq!(permit.waiter_count(), 0);
    });
}

#[test]
fn permit_given_before_the_wait_is_returned_after_the_deadline() {
    let queue = queue();
    let permit = first(&queue, "a");
    let waiter = behind(&queue, "a", Accepts::Handoff);
    assert!(permit.hand_off(&["a"], 7).is_ok());
    let result = waiter.wait_until(Some(Instant::now()));
    assert_eq!(result.ok().and_then(|(_, payload)| payload), Some(7));
}

#[test]
fn names_without_requests_take_no_memory() {
    let queue: Arc<WaitQueue<u64, ()>> = Arc::new(WaitQueue::new());
    let acquire = |name| {
        let enqueued = queue.enqueue(&name, Accepts::Handoff);
        let waiter = queue.enqueue(&name, Accepts::Handoff);
        drop(enqueued);
        waiter
    };
    drop(acquire(0));
    let kept = measure(|| (1..1_000).for_each(|name| drop(acquire(name)))).bytes_current;
    assert_eq!(kept, 0);

    // The table does not keep the capacity that many names at once needed either.
    let all_at_once = || drop((0..10_000).map(acquire).collect::<Vec<_>>());
    let kept = measure(all_at_once).bytes_current;
    assert!(kept <= 20 * 1024, "{kept} bytes");
}

/// Without the name, of which the waiter has a copy.
#[test]
fn first_waiter_takes_at_most_256_bytes_and_each_further_one_100() {
    let queue = queue::<()>();
    let _permit = first(&queue, "a");
    let mut waiters = Vec::with_capacity(1_001);
    let mut taken_by = |count| {
        let added = (0..count).map(|_| behind(&queue, "a", Accepts::Handoff));
        measure(|| waiters.extend(added)).bytes_current
    };
    let by_first = taken_by(1);
    assert!(by_first <= 256, "{by_first} bytes");
    let by_others = taken_by(1_000);
    assert!(by_others <= 100 * 1_000, "{by_others} bytes");
}

#[test]
fn waiters_and_permits_can_move_between_threads() {
    fn assert_send<S: Send + Unpin>() {}
    assert_send::<Waiter<String, u32>>();
    assert_send::<Permit<String, u32>>();
    fn assert_sync<S: Sync>() {}
    assert_sync::<WaitQueue<String, u32>>();
}
