//! The queue of `LockPool` under loom: each test runs in every order of steps that its threads can take.

#[path = "../src/pool/queue.rs"]
mod queue;

/// What the queue is built on here. Time is up whenever there is a deadline: loom tries every moment for the step
/// that looks at it.
mod sync {
    use std::sync::{LockResult, PoisonError};
    use std::time::Instant;

    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

    pub(super) fn unpoisoned<G>(locked: LockResult<G>) -> G {
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait_until<'m, T>(
        woken: &Condvar,
        guard: MutexGuard<'m, T>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'m, T>, Expired) {
        match deadline {
            None => (unpoisoned(woken.wait(guard)), Expired(false)),
            Some(_) => (guard, Expired(true)),
        }
    }

    pub(super) struct Expired(pub(super) bool);
}

use std::sync::Arc;
use std::time::Instant;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;

use queue::{Joined, Phase, Queue, Ticket, Turn, Wants};

type Name = &'static str;

/// Stands for a connection whose session holds the lock.
struct Token(Arc<World>);

/// What must hold of all threads together.
struct World {
    queue: Arc<Queue<Name, Token>>,
    holders: AtomicUsize,
    tokens: AtomicUsize,
    served: AtomicUsize,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            queue: Arc::new(Queue::new()),
            holders: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
        })
    }

    fn token(self: &Arc<Self>) -> Token {
        assert_eq!(
            self.tokens.fetch_add(1, SeqCst),
            0,
            "two sessions hold one lock"
        );
        Token(Arc::clone(self))
    }

    /// Joins, and waits for as long as told. `None`: gave up.
    fn turn(&self, wants: Wants, deadline: Option<Instant>) -> Option<Given> {
        match self.queue.join(&"job", wants) {
            Joined::First(turn) => Some((turn, None)),
            Joined::Behind(ticket) => ticket.wait(deadline).ok(),
        }
    }

    /// One request: runs alone, and hands on what it holds if somebody takes it.
    fn request(self: &Arc<Self>, wants: Wants, deadline: Option<Instant>) {
        let Some((turn, token)) = self.turn(wants, deadline) else {
            return;
        };
        assert!(
            wants == Wants::All || token.is_none(),
            "got what it cannot use"
        );
        let token = token.unwrap_or_else(|| self.token());
        self.run_alone();
        if wants == Wants::Turn || turn.takers() == 0 {
            drop(token);
            drop(turn);
        } else if let Err((turn, token)) = turn.pass(token) {
            drop(token);
            drop(turn);
        }
    }

    fn run_alone(&self) {
        assert_eq!(self.holders.fetch_add(1, SeqCst), 0, "two run at once");
        self.served.fetch_add(1, SeqCst);
        thread::yield_now();
        self.holders.fetch_sub(1, SeqCst);
    }

    /// Nobody is here: nothing is kept, and the lock is free.
    fn assert_forgotten(&self) {
        assert_eq!(self.queue.size(), (0, 0));
        assert_eq!(self.tokens.load(SeqCst), 0, "a lock is held for nobody");
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.tokens.fetch_sub(1, SeqCst);
    }
}

type Given = (Turn<Name, Token>, Option<Token>);

/// Time is up for who looks at this.
fn at_once() -> Option<Instant> {
    Some(Instant::now())
}

/// Every order of steps that differs from the plain one by at most three forced switches of threads.
fn in_every_order(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

#[test]
fn all_are_served_one_at_a_time() {
    in_every_order(|| {
        let world = World::new();
        let others = [0; 2].map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.request(Wants::All, None))
        });
        world.request(Wants::All, None);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(world.served.load(SeqCst), 3);
        world.assert_forgotten();
    });
}

#[test]
fn who_comes_back_is_served_again() {
    in_every_order(|| {
        let world = World::new();
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.request(Wants::All, None);
                world.request(Wants::All, None);
            })
        };
        world.request(Wants::All, None);
        world.request(Wants::All, None);
        other.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 4);
        world.assert_forgotten();
    });
}

#[test]
fn who_gives_up_disturbs_nobody() {
    in_every_order(|| {
        let world = World::new();
        let gives_up = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.request(Wants::All, at_once()))
        };
        let waits = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.request(Wants::All, None))
        };
        world.request(Wants::All, None);
        gives_up.join().unwrap();
        waits.join().unwrap();
        assert!(world.served.load(SeqCst) >= 2);
        world.assert_forgotten();
    });
}

#[test]
fn who_wants_a_turn_only_is_handed_nothing() {
    in_every_order(|| {
        let world = World::new();
        let turn_only = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.request(Wants::Turn, None))
        };
        // Is first in line when somebody looks, and gone when something is to be handed on.
        let gives_up = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.request(Wants::All, at_once()))
        };
        world.request(Wants::All, None);
        turn_only.join().unwrap();
        gives_up.join().unwrap();
        assert!(world.served.load(SeqCst) >= 2);
        world.assert_forgotten();
    });
}

/// A thread may unwind before it waits, or while something is on its way to it.
#[test]
fn a_ticket_that_is_dropped_passes_on_what_it_got() {
    in_every_order(|| {
        let world = World::new();
        let (first, second, third) = (join(&world), join(&world), join(&world));
        let Joined::First(turn) = first else {
            unreachable!("nobody was here")
        };
        let gone = thread::spawn(move || drop(ticket(second)));
        let waits = {
            let (world, third) = (Arc::clone(&world), ticket(third));
            thread::spawn(move || {
                let given = third.wait(None).expect("no deadline");
                world.run_alone();
                drop(given);
            })
        };
        let token = world.token();
        if let Err((turn, token)) = turn.pass(token) {
            drop(token);
            drop(turn);
        }
        gone.join().unwrap();
        waits.join().unwrap();
        assert_eq!(world.served.load(SeqCst), 1);
        world.assert_forgotten();
    });
}

#[test]
fn first_come_first_served() {
    in_every_order(|| {
        let world = World::new();
        let Joined::First(turn) = join(&world) else {
            unreachable!("nobody was here")
        };
        let in_order = [ticket(join(&world)), ticket(join(&world))];
        let mut place = 0;
        let threads = in_order.map(|ticket| {
            let (world, mine) = (Arc::clone(&world), place);
            place += 1;
            thread::spawn(move || {
                let (turn, token) = ticket.wait(None).expect("no deadline");
                assert_eq!(world.served.fetch_add(1, SeqCst), mine, "overtaken");
                drop(token);
                drop(turn);
            })
        });
        drop(turn);
        for thread in threads {
            thread.join().unwrap();
        }
        world.assert_forgotten();
    });
}

#[test]
fn a_waiter_that_gives_up_learns_what_the_one_before_it_is_doing() {
    in_every_order(|| {
        let world = World::new();
        let Joined::First(turn) = join(&world) else {
            unreachable!("the line was empty")
        };
        turn.set_phase(Phase::Asking);
        turn.set_phase(Phase::Running(7));
        let (first, second) = (ticket(join(&world)), ticket(join(&world)));
        assert_eq!(first.phase(), Some(Phase::Running(7)));
        let gone = thread::spawn(move || {
            let seen = second.wait(at_once()).err().flatten();
            // Before the hand-off, after it, or after all have ended.
            let possible = [None, Some(Phase::Running(7)), Some(Phase::Holding)];
            assert!(possible.contains(&seen), "{seen:?}");
        });
        let token = world.token();
        assert!(turn.pass(token).is_ok(), "the first in line takes it");
        let (turn, token) = first.wait(None).expect("no deadline");
        drop(token);
        drop(turn);
        gone.join().unwrap();
        world.assert_forgotten();
    });
}

fn join(world: &World) -> Joined<Name, Token> {
    world.queue.join(&"job", Wants::All)
}

fn ticket(joined: Joined<Name, Token>) -> Ticket<Name, Token> {
    match joined {
        Joined::Behind(ticket) => ticket,
        Joined::First(_) => unreachable!("somebody was here"),
    }
}
