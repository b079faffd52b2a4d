//! The wait queue of `LockPool` under loom, which runs each test in every order of steps that its
//! threads can take.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the library's module, of which a part is tested"
)]
#[path = "../src/pool/wait_queue.rs"]
mod wait_queue;

/// Replaces `src/pool/sync.rs` by types of loom. Every deadline has passed, because loom tries
/// every moment for the step that checks it.
mod sync {
    use std::sync::{Arc, LockResult, PoisonError};
    use std::task::Wake;
    use std::time::Instant;

    use loom::sync::Notify;
    pub(super) use loom::sync::{Mutex, MutexGuard};

    pub(super) fn unpoisoned<G>(locked: LockResult<G>) -> G {
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// Not loom's `park`: its `unpark` would also end a wait for a mutex.
    pub(super) struct Parker(Notify);

    impl Parker {
        pub(super) fn new() -> Self {
            Parker(Notify::new())
        }

        pub(super) fn park_until(&self, deadline: Option<Instant>) -> bool {
            if deadline.is_none() {
                self.0.wait();
            }
            deadline.is_none()
        }
    }

    impl Wake for Parker {
        fn wake(self: Arc<Self>) {
            self.0.notify();
        }
    }
}

use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;

use sync::Parker;
use wait_queue::{Accepts, Enqueued, Granted, Permit, Phase, WaitQueue, Waiter};

/// A name, and the index of its counters.
type Name = usize;

const ROW: Name = 0;
const OTHER_ROW: Name = 1;
const BOTH_ROWS: [Name; 2] = [ROW, OTHER_ROW];

/// Stands for a connection whose session holds the locks of these names.
struct Session {
    world: Arc<World>,
    names: Vec<Name>,
    /// The permits of all names but the first.
    _permits: Vec<Permit<Name, Session>>,
}

/// What all threads share. The counters, which the tests check, are loom's, so that loom tries
/// every order of the steps that change them.
struct World {
    queue: Arc<WaitQueue<Name, Session>>,
    sessions: [AtomicUsize; 2],
    running: [AtomicUsize; 2],
    served: AtomicUsize,
    handed_off: AtomicUsize,
}

/// How a request waits.
#[derive(Clone, Copy)]
enum Wait {
    Thread,
    Task,
    /// In a thread, until a deadline.
    Expiring,
    /// In a task, until a deadline.
    ExpiringTask,
}

impl Wait {
    fn wait(self, waiter: Waiter<Name, Session>) -> Option<Granted<Name, Session>> {
        match self {
            Wait::Thread => waiter.wait_until(None).ok(),
            Wait::Task => Some(run_task(waiter)),
            Wait::Expiring => waiter.wait_until(Some(Instant::now())).ok(),
            Wait::ExpiringTask => {
                let wait = pin!(waiter.wait_or(std::future::ready(())));
                let waker = Waker::from(Arc::new(Parker::new()));
                match wait.poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(given) => given.ok(),
                    Poll::Pending => unreachable!("its time is over"),
                }
            }
        }
    }
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            queue: Arc::new(WaitQueue::new()),
            sessions: Default::default(),
            running: Default::default(),
            served: AtomicUsize::new(0),
            handed_off: AtomicUsize::new(0),
        })
    }

    fn session(self: &Arc<Self>, names: &[Name], permits: Vec<Permit<Name, Session>>) -> Session {
        for &name in names {
            let before = self.sessions[name].fetch_add(1, SeqCst);
            assert_eq!(before, 0, "two sessions hold one lock");
        }
        Session {
            world: Arc::clone(self),
            names: names.to_vec(),
            _permits: permits,
        }
    }

    /// The first permit of the name.
    fn first(&self, name: Name) -> Permit<Name, Session> {
        match self.queue.enqueue(&name, Accepts::Handoff) {
            Enqueued::First(permit) => permit,
            Enqueued::Behind(_) => unreachable!("the name is in use"),
        }
    }

    fn behind(&self, name: Name, accepts: Accepts<Name>) -> Waiter<Name, Session> {
        match self.queue.enqueue(&name, accepts) {
            Enqueued::First(_) => unreachable!("the name is not in use"),
            Enqueued::Behind(waiter) => waiter,
        }
    }

    /// Returns a permit, and a session if one is handed off, or `None` if the wait has expired.
    fn given(
        &self,
        name: Name,
        accepts: Accepts<Name>,
        wait: Wait,
    ) -> Option<Granted<Name, Session>> {
        match self.queue.enqueue(&name, accepts) {
            Enqueued::First(permit) => Some((permit, None)),
            Enqueued::Behind(waiter) => wait.wait(waiter),
        }
    }

    /// A request for one lock. It hands its session off if the first waiter accepts it.
    fn request(self: &Arc<Self>, wait: Wait) {
        if let Some((permit, session)) = self.given(ROW, Accepts::Handoff, wait) {
            let session = session.unwrap_or_else(|| self.session(&[ROW], Vec::new()));
            self.run_and_pass_on(permit, session);
        }
    }

    /// A request for both locks.
    fn request_set(self: &Arc<Self>, wait: Wait) {
        let accepts = Accepts::HandoffOfSet(Arc::from(BOTH_ROWS));
        let Some((permit, session)) = self.given(ROW, accepts, wait) else {
            return;
        };
        let session = session.unwrap_or_else(|| {
            let (other, session) = self
                .given(OTHER_ROW, Accepts::PermitOnly, Wait::Thread)
                .expect("no deadline");
            assert!(session.is_none(), "was handed what it does not accept");
            self.session(&BOTH_ROWS, vec![other])
        });
        assert_eq!(session.names, BOTH_ROWS);
        self.run_and_pass_on(permit, session);
    }

    /// A request that accepts no handoff.
    fn request_permit(self: &Arc<Self>, name: Name) {
        let given = self.given(name, Accepts::PermitOnly, Wait::Thread);
        let (permit, session) = given.expect("no deadline");
        assert!(session.is_none(), "was handed what it does not accept");
        let session = self.session(&[name], Vec::new());
        self.run_alone(&[name]);
        drop(session);
        drop(permit);
    }

    fn run_and_pass_on(&self, permit: Permit<Name, Session>, session: Session) {
        let names = session.names.clone();
        self.run_alone(&names);
        match permit.hand_off(&names, session) {
            Ok(()) => {
                self.handed_off.fetch_add(1, SeqCst);
            }
            Err((permit, session)) => {
                drop(session);
                drop(permit);
            }
        }
    }

    fn run_alone(&self, names: &[Name]) {
        for &name in names {
            let before = self.running[name].fetch_add(1, SeqCst);
            assert_eq!(before, 0, "two requests run under one lock");
        }
        self.served.fetch_add(1, SeqCst);
        thread::yield_now();
        for &name in names {
            self.running[name].fetch_sub(1, SeqCst);
        }
    }

    /// Asserts that the queue keeps nothing and no session holds a lock.
    fn assert_empty(&self) {
        assert_eq!(self.queue.size(), (0, 0));
        for sessions in &self.sessions {
            assert_eq!(sessions.load(SeqCst), 0, "a lock is held without a request");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for &name in &self.names {
            self.world.sessions[name].fetch_sub(1, SeqCst);
        }
    }
}

/// Polls with one waker, then with another one, as an executor does that moves a task to another
/// of its threads.
fn run_task(mut waiter: Waiter<Name, Session>) -> Granted<Name, Session> {
    if let Poll::Ready(given) = poll(&mut waiter, &Arc::new(Parker::new())) {
        return given;
    }
    let parker = Arc::new(Parker::new());
    loop {
        if let Poll::Ready(given) = poll(&mut waiter, &parker) {
            return given;
        }
        parker.park_until(None);
    }
}

fn poll(waiter: &mut Waiter<Name, Session>, parker: &Arc<Parker>) -> Poll<Granted<Name, Session>> {
    let waker = Waker::from(Arc::clone(parker));
    Pin::new(waiter).poll(&mut Context::from_waker(&waker))
}

/// Runs `test` in every order of steps that takes at most three forced switches of threads.
fn in_every_order(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// Like [`in_every_order`], but fails unless `test` returns `true` in some orders and `false` in
/// others.
fn in_every_order_of_two_outcomes(test: impl Fn() -> bool + Sync + Send + 'static) {
    let outcomes = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&outcomes);
    in_every_order(move || {
        let outcome = test();
        seen.lock().unwrap().insert(outcome);
    });
    assert_eq!(
        outcomes.lock().unwrap().len(),
        2,
        "one outcome never occurs"
    );
}

fn spawn<R: 'static>(
    world: &Arc<World>,
    body: impl FnOnce(&Arc<World>) -> R + 'static,
) -> thread::JoinHandle<R> {
    let world = Arc::clone(world);
    thread::spawn(move || body(&world))
}

#[test]
fn requests_of_threads_and_tasks_are_served_one_at_a_time() {
    in_every_order(|| {
        let world = World::new();
        let thread = spawn(&world, |world| world.request(Wait::Thread));
        let task = spawn(&world, |world| world.request(Wait::Task));
        world.request(Wait::Thread);
        thread.join().unwrap();
        task.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 3);
        world.assert_empty();
    });
}

#[test]
fn requests_that_return_are_served_again() {
    in_every_order(|| {
        let world = World::new();
        let other = spawn(&world, |world| {
            world.request(Wait::Task);
            world.request(Wait::Thread);
        });
        world.request(Wait::Thread);
        world.request(Wait::Task);
        other.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 4);
        world.assert_empty();
    });
}

#[test]
fn waiters_are_served_fifo() {
    in_every_order(|| {
        let world = World::new();
        let permit = world.first(ROW);
        let in_order = [Wait::Thread, Wait::Task].map(|wait| {
            let waiter = world.behind(ROW, Accepts::Handoff);
            (wait, waiter)
        });
        let mut place = 0;
        let threads = in_order.map(|(wait, waiter)| {
            let expected = place;
            place += 1;
            spawn(&world, move |world| {
                let (permit, _) = wait.wait(waiter).expect("no deadline");
                let served = world.served.fetch_add(1, SeqCst);
                assert_eq!(served, expected, "this waiter was overtaken");
                drop(permit);
            })
        });
        drop(permit);
        for thread in threads {
            thread.join().unwrap();
        }
        world.assert_empty();
    });
}

fn let_a_waiter_expire(wait: Wait) {
    in_every_order(move || {
        let world = World::new();
        let expires = spawn(&world, move |world| world.request(wait));
        let waits = spawn(&world, |world| world.request(Wait::Task));
        world.request(Wait::Thread);
        expires.join().unwrap();
        waits.join().unwrap();
        assert!(world.served.load(SeqCst) >= 2);
        world.assert_empty();
    });
}

#[test]
fn expired_waiter_does_not_delay_others() {
    let_a_waiter_expire(Wait::Expiring);
}

#[test]
fn expired_task_does_not_delay_others() {
    let_a_waiter_expire(Wait::ExpiringTask);
}

#[test]
fn waiter_for_the_permit_only_is_handed_nothing() {
    in_every_order(|| {
        let world = World::new();
        let permit_only = spawn(&world, |world| world.request_permit(ROW));
        let expires = spawn(&world, |world| world.request(Wait::Expiring));
        world.request(Wait::Thread);
        permit_only.join().unwrap();
        expires.join().unwrap();
        assert!(world.served.load(SeqCst) >= 2);
        world.assert_empty();
    });
}

/// Drops a waiter before, while or after it is given the permit and a session.
fn drop_a_waiter_during_a_handoff(before_the_drop: fn(&mut Waiter<Name, Session>), next: Wait) {
    in_every_order_of_two_outcomes(move || {
        let world = World::new();
        let permit = world.first(ROW);
        let mut dropped = world.behind(ROW, Accepts::Handoff);
        let waiter = world.behind(ROW, Accepts::Handoff);
        let drops = thread::spawn(move || {
            before_the_drop(&mut dropped);
            drop(dropped);
        });
        let waits = spawn(&world, move |world| {
            let (permit, session) = next.wait(waiter).expect("no deadline");
            let is_handed_off = session.is_some();
            let session = session.unwrap_or_else(|| world.session(&[ROW], Vec::new()));
            world.run_and_pass_on(permit, session);
            is_handed_off
        });
        let session = world.session(&[ROW], Vec::new());
        assert!(permit.hand_off(&[ROW], session).is_ok());
        drops.join().unwrap();
        let is_handed_off = waits.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 1);
        world.assert_empty();
        is_handed_off
    });
}

/// Like a thread that unwinds before it waits.
#[test]
fn waiter_dropped_without_a_poll_passes_on_what_it_was_given() {
    drop_a_waiter_during_a_handoff(|_| {}, Wait::Thread);
}

/// Like a task that loses a `select!` against a timer.
#[test]
fn task_dropped_at_any_moment_passes_on_what_it_was_given() {
    let poll_once = |waiter: &mut Waiter<Name, Session>| {
        if let Poll::Ready((permit, session)) = poll(waiter, &Arc::new(Parker::new())) {
            drop(session);
            drop(permit);
        }
    };
    drop_a_waiter_during_a_handoff(poll_once, Wait::Task);
}

#[test]
fn thread_that_expires_during_a_handoff_takes_it_or_leaves_it_to_the_next() {
    in_every_order_of_two_outcomes(|| {
        let world = World::new();
        let permit = world.first(ROW);
        let expires = world.behind(ROW, Accepts::Handoff);
        let waits = world.behind(ROW, Accepts::Handoff);
        let expires = spawn(&world, move |world| {
            let given = Wait::Expiring.wait(expires);
            let is_taken = given.is_some();
            if let Some((permit, session)) = given {
                world.run_and_pass_on(permit, session.expect("comes with the permit"));
            }
            is_taken
        });
        let waits = spawn(&world, move |world| {
            let (permit, session) = run_task(waits);
            world.run_and_pass_on(permit, session.expect("comes with the permit"));
        });
        let session = world.session(&[ROW], Vec::new());
        assert!(permit.hand_off(&[ROW], session).is_ok());
        let is_taken = expires.join().unwrap();
        waits.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 1 + usize::from(is_taken));
        world.assert_empty();
        is_taken
    });
}

#[test]
fn expired_waiter_learns_the_phase_of_the_permit_in_front() {
    in_every_order(|| {
        let world = World::new();
        let permit = world.first(ROW);
        permit.set_phase(Phase::Asking);
        permit.set_phase(Phase::Running(7));
        let first = world.behind(ROW, Accepts::Handoff);
        let second = world.behind(ROW, Accepts::Handoff);
        assert_eq!(first.phase(), Some(Phase::Running(7)));
        let expires = thread::spawn(move || {
            let seen = second.wait_until(Some(Instant::now())).map(drop);
            // Before the handoff, after it, or after the first waiter has passed the permit on.
            let possible = [
                Err(Some(Phase::Running(7))),
                Err(Some(Phase::Holding)),
                Ok(()),
            ];
            assert!(possible.contains(&seen), "{seen:?}");
        });
        let session = world.session(&[ROW], Vec::new());
        assert!(permit.hand_off(&[ROW], session).is_ok());
        drop(first.wait_until(None));
        expires.join().unwrap();
        world.assert_empty();
    });
}

#[test]
fn waiter_behind_a_set_learns_the_phase_that_the_set_waits_for() {
    in_every_order(|| {
        let world = World::new();
        let in_front = world.first(OTHER_ROW);
        let set = world.first(ROW);
        let of_set = world.behind(OTHER_ROW, Accepts::PermitOnly);
        set.set_waits_at(&OTHER_ROW);
        in_front.set_phase(Phase::Asking);
        let waiter = world.behind(ROW, Accepts::Handoff);
        let expires = thread::spawn(move || {
            let seen = waiter.wait_until(Some(Instant::now())).map(drop);
            let possible = [Err(Some(Phase::Asking)), Err(Some(Phase::Holding))];
            assert!(possible.contains(&seen), "{seen:?}");
        });
        in_front.set_phase(Phase::Holding);
        drop(of_set);
        expires.join().unwrap();
        drop((in_front, set));
        world.assert_empty();
    });
}

#[test]
fn sets_are_handed_off_between_threads_and_tasks() {
    in_every_order_of_two_outcomes(|| {
        let world = World::new();
        let task = spawn(&world, |world| world.request_set(Wait::Task));
        let single = spawn(&world, |world| world.request_permit(OTHER_ROW));
        world.request_set(Wait::Thread);
        task.join().unwrap();
        single.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 3);
        world.assert_empty();
        world.handed_off.load(SeqCst) > 0
    });
}

#[test]
fn dropped_set_waiter_passes_on_every_permit() {
    in_every_order(|| {
        let world = World::new();
        let (permit, other) = (world.first(ROW), world.first(OTHER_ROW));
        let set = world.behind(ROW, Accepts::HandoffOfSet(Arc::from(BOTH_ROWS)));
        let waiters = BOTH_ROWS.map(|name| (name, world.behind(name, Accepts::PermitOnly)));
        let drops = thread::spawn(move || set.cancel());
        let waits = spawn(&world, |world| {
            for (name, waiter) in waiters {
                let (permit, session) = run_task(waiter);
                assert!(session.is_none(), "was handed what it does not accept");
                let session = world.session(&[name], Vec::new());
                world.run_alone(&[name]);
                drop(session);
                drop(permit);
            }
        });
        let session = world.session(&BOTH_ROWS, vec![other]);
        if let Err((permit, session)) = permit.hand_off(&BOTH_ROWS, session) {
            drop(session);
            drop(permit);
        }
        drops.join().unwrap();
        waits.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 2);
        world.assert_empty();
    });
}

#[test]
fn set_waiter_behind_a_single_waiter_is_given_the_permit_only() {
    in_every_order(|| {
        let world = World::new();
        let (permit, other) = (world.first(ROW), world.first(OTHER_ROW));
        let single = world.behind(ROW, Accepts::Handoff);
        let set = world.behind(ROW, Accepts::HandoffOfSet(Arc::from(BOTH_ROWS)));
        let single = spawn(&world, move |world| {
            let (permit, session) = Wait::Thread.wait(single).expect("no deadline");
            assert!(session.is_none(), "was handed a set");
            let session = world.session(&[ROW], Vec::new());
            world.run_and_pass_on(permit, session);
        });
        let set = thread::spawn(move || {
            let (permit, session) = run_task(set);
            assert!(session.is_none(), "was handed another request's lock");
            drop(permit);
        });
        let counts = [&BOTH_ROWS[..], &[ROW]].map(|set| permit.handoff_count(set));
        assert_eq!((permit.waiter_count(), counts), (2, [0, 2]));
        let session = world.session(&BOTH_ROWS, vec![other]);
        world.run_and_pass_on(permit, session);
        single.join().unwrap();
        set.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 2);
        world.assert_empty();
    });
}
