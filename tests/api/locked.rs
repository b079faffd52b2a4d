//! [`LockedMethods`]: methods with `#[locked]`.

use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{LockSource, Reload};

use crate::server::Conn;
use crate::suite::support::{Counter, Form};

/// Methods with `#[locked]` that run a closure. [`locked_methods!`] implements it for models.
pub(crate) trait LockedMethods: Lockable + Clone + Reload<Conn> {
    /// Calls the method of that form.
    fn locked_method<S: LockSource<Connection = Conn>, E: From<LockError>>(
        &mut self,
        form: Form,
        source: &mut S,
        body: impl FnOnce(&mut Self, &mut Conn) -> Result<(), E>,
    ) -> Result<(), E>;
}

macro_rules! locked_methods {
    ($($model:ty),+ $(,)?) => {$(
        // Inherent, since a method of a trait that borrows `self` cannot be locked.
        impl $model {
            #[locked(conn = source)]
            fn under_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(self, source.connection())
            }

            #[locked(conn = source)]
            fn under_shared_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(&mut self.clone(), source.connection())
            }

            #[locked(conn = source, transaction)]
            fn under_transaction_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &mut self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(self, source.connection())
            }

            #[locked(conn = source, transaction)]
            fn under_shared_transaction_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &self,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                body(&mut self.clone(), source.connection())
            }
        }

        impl $crate::api::locked::LockedMethods for $model {
            fn locked_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: From<LockError>,
            >(
                &mut self,
                form: $crate::suite::support::Form,
                source: &mut S,
                body: impl FnOnce(&mut Self, &mut $crate::server::Conn) -> Result<(), E>,
            ) -> Result<(), E> {
                use $crate::suite::support::Form;
                match form {
                    Form::Method => self.under_method(source, body),
                    Form::SharedMethod => self.under_shared_method(source, body),
                    Form::TransactionMethod => self.under_transaction_method(source, body),
                    Form::SharedTransactionMethod => {
                        self.under_shared_transaction_method(source, body)
                    }
                    other => panic!("{other:?} is not a method"),
                }
            }
        }
    )+};
}

pub(crate) use locked_methods;

locked_methods!(Counter);
