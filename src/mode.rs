//! [`Exclusive`] and [`Shared`]: whether other sessions may hold a lock at the same time, as types.

/// [`Exclusive`] or [`Shared`] as a value.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    Exclusive,
    /// Together with other shared holders. Only a backend with `SharedLocks` is asked for it.
    Shared,
}

/// The mode of a lock that one session holds at a time: the default of [`Lock`](crate::Lock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exclusive;

/// The mode of a lock that several sessions may hold together: see
/// [`Lock::shared`](crate::Lock::shared).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared;

/// [`Exclusive`] or [`Shared`]. It cannot be implemented outside of this crate.
pub trait Mode: sealed::Sealed {
    #[doc(hidden)]
    const MODE: LockMode;
}

impl Mode for Exclusive {
    const MODE: LockMode = LockMode::Exclusive;
}

impl Mode for Shared {
    const MODE: LockMode = LockMode::Shared;
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::Exclusive {}
    impl Sealed for super::Shared {}
}
