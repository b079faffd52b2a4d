//! One lock in one session, from the request to the release, without models and pools.
//!
//! Each function is one step. A step that fails leaves no lock behind.

mod acquire;
mod armed;
mod commit;
mod end;
mod lock;
mod pending;
mod verify;

pub(crate) use acquire::not_acquired;
pub use armed::Armed;
pub(crate) use armed::without_second_panic;
pub(crate) use commit::commit;
pub(crate) use end::{
    Closed, Progress, close, end, keep, release, release_and_reacquire, restore_idle_timeouts,
};
pub use lock::SessionLock;
pub(crate) use pending::PendingLock;
