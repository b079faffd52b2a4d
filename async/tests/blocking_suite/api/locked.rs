//! [`LockedMethods`]: this crate does not have `#[locked]` yet.

use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{FromLockError, LockSource, Reload};

use super::Body;
use crate::server::Conn;
use crate::suite::support::Form;

pub(crate) trait LockedMethods: Lockable + Clone + Reload<Conn> {
    async fn locked_method<S, E>(
        &mut self,
        form: Form,
        _: &mut S,
        _: impl Body<Self, E>,
    ) -> Result<(), E>
    where
        S: LockSource<Connection = Conn>,
        E: FromLockError,
    {
        panic!("{form:?}: see `HAS_LOCKED_METHODS`")
    }
}

impl<T: Lockable + Clone + Reload<Conn>> LockedMethods for T {}

macro_rules! locked_methods {
    ($($model:ty),+ $(,)?) => {};
}

pub(crate) use locked_methods;
