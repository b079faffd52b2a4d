//! [`Events`] counts what happens to a pool's connections. [`Prepare`] sets each of them up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::r2d2::{CustomizeConnection, HandleEvent, event};

use crate::server::Conn;

/// How many connections a pool has opened, discarded and taken back.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) opened: AtomicUsize,
    pub(crate) discarded: AtomicUsize,
    pub(crate) returned: AtomicUsize,
}

impl Events {
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
pub(super) struct CountEvents(pub(super) Arc<Events>);

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
pub(super) struct Prepare<F>(pub(super) F);

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
