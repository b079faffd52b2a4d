//! `metrics`: how long is waited and held, and what goes wrong, by table.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use super::Label;

const WAIT: &str = "diesel_advisory_lock_wait_seconds";
const HOLD: &str = "diesel_advisory_lock_hold_seconds";
const CONTENDED: &str = "diesel_advisory_lock_contended_total";
const TIMEOUTS: &str = "diesel_advisory_lock_timeouts_total";
const LOST: &str = "diesel_advisory_lock_lost_total";

/// Tells the installed recorder what each metric means. Call it once, after the recorder is installed; without it there are
/// numbers, but no descriptions.
///
/// ```
/// diesel_advisory_lock::describe_metrics();
/// ```
pub fn describe_metrics() {
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "From the request for a lock to having it, or giving up"
    );
    describe_histogram!(
        HOLD,
        Unit::Seconds,
        "From having a lock to the end of its release"
    );
    describe_counter!(
        CONTENDED,
        Unit::Count,
        "Requests that found the lock taken by somebody else"
    );
    describe_counter!(
        TIMEOUTS,
        Unit::Count,
        "Requests that gave up waiting; those of a `try_` form are not among them"
    );
    describe_counter!(
        LOST,
        Unit::Count,
        "Locks that the server did not confirm at their end"
    );
}

pub(super) fn waited(label: Label, wait: Duration) {
    histogram!(WAIT, "table" => label.text()).record(wait);
}

pub(super) fn held(label: Label, hold: Duration) {
    histogram!(HOLD, "table" => label.text()).record(hold);
}

pub(super) fn contended(label: Label) {
    counter!(CONTENDED, "table" => label.text()).increment(1);
}

pub(super) fn timed_out(label: Label) {
    counter!(TIMEOUTS, "table" => label.text()).increment(1);
}

pub(super) fn lost(label: Label) {
    counter!(LOST, "table" => label.text()).increment(1);
}
