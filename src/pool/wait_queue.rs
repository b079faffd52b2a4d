//! [`WaitQueue`]: one permit per name, granted in FIFO order, without a connection.
//!
//! A request enqueues for a name and receives either the name's [`Permit`] or a [`Waiter`]. The
//! permit's holder asks the server for the lock. When the holder is done, it hands the permit off
//! together with what it holds ([`Permit::hand_off`]), or grants the permit alone to the next
//! waiter by dropping it. A permit that ends without a waiter is removed, and its name is
//! forgotten. The states of one name:
//!
//! ```text
//!            enqueue                  dropped, no waiter
//! forgotten ─────────▶ permit held ──────────────────────▶ forgotten
//!                        │     ▲
//!            handed off, │     │ the waiter is polled and takes the permit,
//!            or dropped  ▼     │ or is dropped and grants it to the next
//!                 granted to the first waiter
//! ```
//!
//! A waiter is a future; a thread waits with [`Waiter::wait_until`]. Both share one order. No waker
//! is cloned, woken or dropped while the mutex is locked, since a waker runs foreign code.
//!
//! The queue knows nothing of servers, so that `tests/wait_queue_loom.rs` can run it under loom.

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::mem;
use std::pin::{Pin, pin};
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::sync::{Mutex, MutexGuard, Parker, unpoisoned};

/// The permits and waiters of all names. `T` is what can be handed off with a permit.
pub(crate) struct WaitQueue<N, T> {
    lists: Mutex<WaitLists<N, T>>,
}

type WaitLists<N, T> = HashMap<N, WaitList<N, T>>;

/// One name's permit and waiters. A name without a permit has no list.
struct WaitList<N, T> {
    phase: Phase,
    /// The name at which the permit's holder waits for another permit.
    waits_at: Option<N>,
    /// The permit, from when it is granted to the waiter with this number until that waiter takes
    /// it.
    granted: Option<(u64, Option<T>)>,
    /// By number, in the order of arrival. Boxed, because a node of the map has room for eleven.
    entries: BTreeMap<u64, Box<Entry<N>>>,
    next_number: u64,
}

/// One waiter's entry in its list.
struct Entry<N> {
    accepts: Accepts<N>,
    /// `None` until the waiter is polled.
    waker: Option<Waker>,
}

/// What a waiter can take over besides the permit of its own name.
#[derive(Clone, Debug)]
pub(crate) enum Accepts<N> {
    /// Nothing.
    PermitOnly,
    /// What was handed off for this one name.
    Handoff,
    /// What was handed off for exactly these names. The waiter waits at the first of them; the
    /// permits of the others are part of what is handed off.
    HandoffOfSet(Arc<[N]>),
}

/// How far the permit's holder has come, which explains why others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The holder waits for a connection.
    Connecting,
    /// The holder has asked the server for the lock.
    Asking,
    /// The holder has the lock.
    Holding,
    /// A closure of the holder runs under the lock: on the thread, or as the future, with this
    /// number.
    Running(u64),
}

/// The result of [`WaitQueue::enqueue`].
pub(crate) enum Enqueued<N: Eq + Hash + Clone, T> {
    First(Permit<N, T>),
    Behind(Waiter<N, T>),
}

/// A place in the queue: the future of the name's permit and of what is handed off with it.
///
/// Dropping it cancels the wait, at any moment. If the permit had already been granted, what was
/// handed off with it is dropped, and then the permit goes to the next waiter. A waiter that is
/// neither polled nor dropped keeps its permit, and all waiters behind it wait.
#[must_use = "dropping it cancels the wait"]
pub struct Waiter<N: Eq + Hash + Clone, T> {
    /// `None` once the waiter has left the list.
    list: Option<ListRef<N, T>>,
    number: u64,
}

/// The right to ask the server for a name, which only one request in this process has at a time.
///
/// Dropping it grants it to the first waiter.
#[must_use = "dropping it grants it to the next waiter"]
pub struct Permit<N: Eq + Hash + Clone, T> {
    list: ListRef<N, T>,
    handed_off: bool,
}

/// A permit, and what was handed off with it, which must be dropped before the permit.
pub type Granted<N, T> = (Permit<N, T>, Option<T>);

/// A list, by its name.
struct ListRef<N, T> {
    queue: Arc<WaitQueue<N, T>>,
    name: N,
}

impl<N: Eq + Hash + Clone, T> WaitQueue<N, T> {
    pub(crate) fn new() -> Self {
        WaitQueue {
            lists: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn enqueue(self: &Arc<Self>, name: &N, accepts: Accepts<N>) -> Enqueued<N, T> {
        let list_ref = ListRef {
            queue: Arc::clone(self),
            name: name.clone(),
        };
        let mut lists = self.lock();
        let Some(list) = lists.get_mut(name) else {
            lists.insert(name.clone(), WaitList::new());
            return Enqueued::First(Permit::new(list_ref));
        };
        let number = list.next_number;
        list.next_number += 1;
        let waker = None;
        let entry = Box::new(Entry { accepts, waker });
        list.entries.insert(number, entry);
        Enqueued::Behind(Waiter {
            list: Some(list_ref),
            number,
        })
    }

    /// The number of names in use, and of waiters.
    pub(crate) fn size(&self) -> (usize, usize) {
        let lists = self.lock();
        let waiters = lists.values().map(|list| list.entries.len()).sum();
        (lists.len(), waiters)
    }

    fn lock(&self) -> MutexGuard<'_, WaitLists<N, T>> {
        unpoisoned(self.lists.lock())
    }
}

impl<N: Eq, T> WaitList<N, T> {
    fn new() -> Self {
        WaitList {
            phase: Phase::Connecting,
            waits_at: None,
            granted: None,
            entries: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// The number of waiters, if the first one accepts a handoff for exactly `set`; 0 otherwise.
    fn handoff_count(&self, name: &N, set: &[N]) -> usize {
        let first = self.entries.first_key_value();
        let is_accepted = first.is_some_and(|(_, first)| match &first.accepts {
            Accepts::PermitOnly => false,
            Accepts::Handoff => set == slice::from_ref(name),
            Accepts::HandoffOfSet(accepted) => set == &**accepted,
        });
        if is_accepted { self.entries.len() } else { 0 }
    }

    /// Grants the permit, and `payload` with it, to the first waiter, which the caller then wakes.
    fn grant_to_first(&mut self, phase: Phase, payload: Option<T>) -> Option<Box<Entry<N>>> {
        let (number, entry) = self.entries.pop_first()?;
        self.phase = phase;
        self.waits_at = None;
        self.granted = Some((number, payload));
        Some(entry)
    }

    fn take_granted(&mut self, number: u64) -> Option<Option<T>> {
        let granted = self.granted.take_if(|(to, _)| *to == number);
        granted.map(|(_, payload)| payload)
    }
}

impl<N: Eq + Hash + Clone, T> ListRef<N, T> {
    /// Returns `None` if the list is gone, which cannot happen while there is a permit or a waiter.
    fn with<R>(&self, action: impl FnOnce(&mut WaitList<N, T>) -> R) -> Option<R> {
        self.queue.lock().get_mut(&self.name).map(action)
    }
}

impl<N: Eq + Hash + Clone, T> Waiter<N, T> {
    /// Blocks the thread until the permit is granted, or cancels the wait at the deadline. A permit
    /// that has been granted by then is returned.
    ///
    /// # Errors
    ///
    /// The phase of the permit in front, or, if its holder waits for another permit, of that one.
    pub(crate) fn wait_until(
        mut self,
        deadline: Option<Instant>,
    ) -> Result<Granted<N, T>, Option<Phase>> {
        let parker = Arc::new(Parker::new());
        let waker = Waker::from(Arc::clone(&parker));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(granted) = Pin::new(&mut self).poll(&mut context) {
                return Ok(granted);
            }
            if !parker.park_until(deadline) {
                return self.leave();
            }
        }
    }

    /// Waits until the permit is granted, or cancels the wait when `expired` is ready. A permit that
    /// has been granted by then is returned.
    ///
    /// # Errors
    ///
    /// As for [`Waiter::wait_until`].
    pub async fn wait_or(
        mut self,
        expired: impl Future<Output = ()>,
    ) -> Result<Granted<N, T>, Option<Phase>> {
        let mut expired = pin!(expired);
        let granted = poll_fn(|context| {
            if let Poll::Ready(granted) = Pin::new(&mut self).poll(context) {
                return Poll::Ready(Some(granted));
            }
            expired.as_mut().poll(context).map(|()| None)
        });
        match granted.await {
            Some(granted) => Ok(granted),
            None => self.leave(),
        }
    }

    /// Cancels the wait, and returns the phase as [`Waiter::wait_until`] does, or `None` if the
    /// permit had already been granted.
    pub(crate) fn cancel(mut self) -> Option<Phase> {
        self.leave_and_grant()
    }

    /// The phase of the permit in front.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.list.as_ref()?.with(|list| list.phase)
    }

    fn leave_and_grant(&mut self) -> Option<Phase> {
        match self.leave() {
            Ok((permit, payload)) => {
                // The next waiter may need what is dropped. If that drop panics, the permit is
                // still granted.
                drop(payload);
                drop(permit);
                None
            }
            Err(phase) => phase,
        }
    }

    /// Leaves the list. Returns what was granted, or else the phase that explains the wait.
    fn leave(&mut self) -> Result<Granted<N, T>, Option<Phase>> {
        let list_ref = self.list.take().ok_or(None)?;
        let mut lists = list_ref.queue.lock();
        let phase = phase_in_front(&lists, &list_ref.name);
        let list = lists.get_mut(&list_ref.name).ok_or(None)?;
        let granted = list.take_granted(self.number);
        let entry = list.entries.remove(&self.number);
        drop(lists);
        drop(entry);
        let payload = granted.ok_or(phase)?;
        Ok((Permit::new(list_ref), payload))
    }
}

impl<N: Eq + Hash + Clone, T> Future for Waiter<N, T> {
    type Output = Granted<N, T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waiter = self.get_mut();
        let mut waker = Some(context.waker().clone());
        let list_ref = waiter.list.take().expect("polled after it was ready");
        let granted = list_ref.with(|list| {
            let granted = list.take_granted(waiter.number);
            if let Some(entry) = list.entries.get_mut(&waiter.number) {
                mem::swap(&mut entry.waker, &mut waker);
            }
            granted
        });
        if let Some(payload) = granted.flatten() {
            let granted = (Permit::new(list_ref), payload);
            // Dropped explicitly, because a panic at the end of the block would leak the block's
            // value (rust-lang/rust#47949), and with it the permit.
            drop(waker);
            return Poll::Ready(granted);
        }
        waiter.list = Some(list_ref);
        Poll::Pending
    }
}

impl<N: Eq + Hash + Clone, T> Unpin for Waiter<N, T> {}

impl<N: Eq + Hash + Clone, T> Drop for Waiter<N, T> {
    fn drop(&mut self) {
        self.leave_and_grant();
    }
}

impl<N: Eq + Hash + Clone, T> Permit<N, T> {
    fn new(list: ListRef<N, T>) -> Self {
        Permit {
            list,
            handed_off: false,
        }
    }

    /// Sets the phase that the waiters of this name see.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.list.with(|list| {
            list.phase = phase;
            list.waits_at = None;
        });
    }

    /// Records that the holder also waits for the permit of `name`, which explains why others wait
    /// for this one. It lasts until the next phase.
    pub(crate) fn set_waits_at(&self, name: &N) {
        self.list.with(|list| list.waits_at = Some(name.clone()));
    }

    /// The number of waiters at this name.
    pub(crate) fn waiter_count(&self) -> usize {
        let count = self.list.with(|list| list.entries.len());
        count.unwrap_or(0)
    }

    /// The number of waiters at this name, if the first one accepts a handoff for exactly `set`;
    /// 0 otherwise.
    pub(crate) fn handoff_count(&self, set: &[N]) -> usize {
        let ListRef { name, .. } = &self.list;
        let count = self.list.with(|list| list.handoff_count(name, set));
        count.unwrap_or(0)
    }

    /// Hands the permit off to the first waiter together with `payload`, which is for the names of
    /// `set`. Returns both if no waiter is there, or if the first one does not accept them.
    pub(crate) fn hand_off(mut self, set: &[N], payload: T) -> Result<(), (Self, T)> {
        let ListRef { name, .. } = &self.list;
        let mut payload = Some(payload);
        let first = self.list.with(|list| {
            let is_accepted = list.handoff_count(name, set) > 0;
            is_accepted.then(|| list.grant_to_first(Phase::Holding, payload.take()))?
        });
        if let Some(payload) = payload {
            return Err((self, payload));
        }
        self.handed_off = true;
        wake(first.flatten());
        Ok(())
    }
}

impl<N: Eq + Hash + Clone, T> Drop for Permit<N, T> {
    fn drop(&mut self) {
        if self.handed_off {
            return;
        }
        let ListRef { queue, name } = &self.list;
        let mut lists = queue.lock();
        let list = lists.get_mut(name);
        let first = list.and_then(|list| list.grant_to_first(Phase::Connecting, None));
        if first.is_none() {
            lists.remove(name);
            shrink_if_sparse(&mut lists);
        }
        drop(lists);
        wake(first);
    }
}

/// The phase of the permit that the waiters of `name` ultimately wait for. All holders wait for
/// permits in one order, so there is no cycle.
fn phase_in_front<N: Eq + Hash, T>(lists: &WaitLists<N, T>, name: &N) -> Option<Phase> {
    let mut list = lists.get(name)?;
    while let Some(next) = list.waits_at.as_ref().and_then(|name| lists.get(name)) {
        list = next;
    }
    Some(list.phase)
}

/// Wakes a waiter whose permit was granted. A waiter that was not polled yet finds it when polled.
fn wake<N>(first: Option<Box<Entry<N>>>) {
    if let Some(waker) = first.and_then(|entry| entry.waker) {
        waker.wake();
    }
}

/// Frees memory after a peak: a map keeps its capacity when entries are removed.
fn shrink_if_sparse<N: Eq + Hash, T>(lists: &mut WaitLists<N, T>) {
    const SMALL: usize = 64;
    if lists.capacity() > SMALL && lists.len() < lists.capacity() / 8 {
        lists.shrink_to(lists.len() * 2);
    }
}
