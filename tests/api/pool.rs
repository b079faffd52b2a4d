//! The pools of the suite: r2d2. [`Events`] counts what happens to a pool's connections.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::r2d2::{ConnectionManager, CustomizeConnection, HandleEvent, event};

use crate::server::Conn;

pub(crate) type Locks = diesel_advisory_lock::LockPool<Conn>;
pub(crate) type Pool = diesel::r2d2::Pool<ConnectionManager<Conn>>;
pub(crate) type PooledConnection = diesel::r2d2::PooledConnection<ConnectionManager<Conn>>;

/// Makes a pool that calls `prepare` with each connection that it opens.
pub(crate) fn build(
    url: &str,
    size: u32,
    prepare: impl Fn(&mut Conn) + Send + Sync + 'static,
) -> (Pool, Arc<Events>) {
    let events = Arc::new(Events::default());
    let customizer: Box<dyn CustomizeConnection<_, _>> = Box::new(Prepare(prepare));
    let pool = Pool::builder()
        .max_size(size)
        .test_on_check_out(false)
        .connection_customizer(customizer)
        .event_handler(Box::new(CountEvents(Arc::clone(&events))))
        .build(ConnectionManager::new(url))
        .unwrap();
    (pool, events)
}

/// A pool of one connection that has not opened it.
pub(crate) fn empty(url: &str) -> Pool {
    let pool = Pool::builder().min_idle(Some(0)).max_size(1);
    pool.build(ConnectionManager::new(url)).unwrap()
}

/// A pool whose callers wait for 0.2 seconds. It has no connection yet.
pub(crate) fn impatient(url: &str, size: u32) -> Pool {
    Pool::builder()
        .min_idle(Some(0))
        .max_size(size)
        .connection_timeout(Duration::from_millis(200))
        .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
        .build_unchecked(ConnectionManager::new(url))
}

pub(crate) fn checked_out(pool: &Pool) -> PooledConnection {
    pool.get_timeout(Duration::from_secs(10)).unwrap()
}

/// Checks out a connection that is idle.
pub(crate) fn checked_out_at_once(pool: &Pool) -> PooledConnection {
    pool.try_get().expect("an idle connection")
}

/// How many connections a pool has opened, discarded and taken back.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) opened: AtomicUsize,
    pub(crate) discarded: AtomicUsize,
    pub(crate) returned: AtomicUsize,
}

impl Events {
    pub(crate) fn returned(&self) -> usize {
        self.returned.load(Ordering::SeqCst)
    }

    pub(crate) fn discarded(&self) -> usize {
        self.discarded.load(Ordering::SeqCst)
    }

    /// The counts, in the order opened, returned, discarded.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (
            self.opened.load(Ordering::SeqCst),
            self.returned.load(Ordering::SeqCst),
            self.discarded.load(Ordering::SeqCst),
        )
    }
}

#[derive(Debug)]
struct CountEvents(Arc<Events>);

impl HandleEvent for CountEvents {
    fn handle_acquire(&self, _: event::AcquireEvent) {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn handle_release(&self, _: event::ReleaseEvent) {
        self.0.discarded.fetch_add(1, Ordering::SeqCst);
    }

    fn handle_checkin(&self, _: event::CheckinEvent) {
        self.0.returned.fetch_add(1, Ordering::SeqCst);
    }
}

/// Calls a function with each connection that a pool opens.
struct Prepare<F>(F);

impl<F> fmt::Debug for Prepare<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepare").finish_non_exhaustive()
    }
}

impl<F> CustomizeConnection<Conn, diesel::r2d2::Error> for Prepare<F>
where
    F: Fn(&mut Conn) + Send + Sync + 'static,
{
    fn on_acquire(&self, conn: &mut Conn) -> Result<(), diesel::r2d2::Error> {
        (self.0)(conn);
        Ok(())
    }
}
