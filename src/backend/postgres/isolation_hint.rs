//! A hint whether a connection begins its transactions above READ COMMITTED.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::driver::Driver;
use crate::in_use;

/// Connections that were last seen to begin their transactions above READ COMMITTED. There a lock
/// must be acquired before the transaction begins, and the attempt to do both in one message fails.
///
/// It is only a hint, which saves that attempt. A connection is known by its address, on a thread.
/// Another one may replace it.
static ABOVE_READ_COMMITTED: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];

/// The place for a connection, and what is there if it begins its transactions so.
fn hint_of<D: Driver>(driver: &mut D) -> (&'static AtomicU64, u64) {
    let connection = (driver.address(), in_use::context());
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(connection);
    let place = &ABOVE_READ_COMMITTED[hash as usize % ABOVE_READ_COMMITTED.len()];
    (place, hash | 1)
}

/// Records how a session begins its transactions.
pub(super) fn set<D: Driver>(driver: &mut D, is_above_read_committed: bool) {
    let (place, connection) = hint_of(driver);
    let is_recorded = place.load(Ordering::Relaxed) == connection;
    if is_recorded != is_above_read_committed {
        let new = if is_above_read_committed {
            connection
        } else {
            0
        };
        place.store(new, Ordering::Relaxed);
    }
}

/// Whether the connection is believed to begin its transactions above READ COMMITTED.
pub(super) fn is_above_read_committed<D: Driver>(driver: &mut D) -> bool {
    let (place, connection) = hint_of(driver);
    place.load(Ordering::Relaxed) == connection
}
