//! One lock in one session, from the request to the release. Which connection that is, a guard
//! knows; what the lock is for, its caller.
//!
//! Each function here is one step that leaves no lock behind, whatever happens in it.

mod acquire;
mod armed;
mod commit;
mod end;
mod lock;
mod pending;
mod verify;

pub(crate) use armed::{Armed, without_second_panic};
pub(crate) use commit::commit;
pub(crate) use end::{
    Closed, Progress, close, end, keep, release, release_and_reacquire, restore_idle_timeouts,
};
pub(crate) use lock::SessionLock;
pub(crate) use pending::PendingLock;
