//! Subscribers of `tracing`, of which each thread may have its own.

use std::sync::LazyLock;

use tracing::Dispatch;

/// Makes sure that a subscriber gets the spans and events of its thread.
///
/// `tracing` decides once for each place in the code whether it records that place. While the process
/// has only one subscriber, it asks that of the thread that comes there first, which may have none.
/// With a second one, it asks them all.
pub(crate) fn ask_every_subscriber() {
    static SECOND: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&SECOND);
}
