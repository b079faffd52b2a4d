//! A hint whether a connection begins its transactions above READ COMMITTED.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::driver::Driver;

/// Whether a connection was last seen to begin its transactions above READ COMMITTED. There a lock
/// must be acquired before the transaction begins, and the attempt to do both in one message fails.
///
/// It is only a hint, which saves that attempt. Connections whose addresses have the same hash share
/// it.
static ABOVE_READ_COMMITTED: [AtomicBool; 1024] = [const { AtomicBool::new(false) }; 1024];

fn hint_of<D: Driver>(driver: &mut D) -> &'static AtomicBool {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(driver.address());
    &ABOVE_READ_COMMITTED[hash as usize % ABOVE_READ_COMMITTED.len()]
}

/// Records how a session begins its transactions.
pub(super) fn set<D: Driver>(driver: &mut D, is_above_read_committed: bool) {
    let hint = hint_of(driver);
    if hint.load(Ordering::Relaxed) != is_above_read_committed {
        hint.store(is_above_read_committed, Ordering::Relaxed);
    }
}

/// Whether the connection is believed to begin its transactions above READ COMMITTED.
pub(super) fn is_above_read_committed<D: Driver>(driver: &mut D) -> bool {
    hint_of(driver).load(Ordering::Relaxed)
}
