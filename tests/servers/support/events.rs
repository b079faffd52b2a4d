//! [`Events`]: what happened to a pool's connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::r2d2::{HandleEvent, event};

/// What happened to a pool's connections.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) opened: AtomicUsize,
    pub(crate) discarded: AtomicUsize,
    pub(crate) returned: AtomicUsize,
}

impl Events {
    /// Opened, returned, discarded.
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
