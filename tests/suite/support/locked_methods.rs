//! [`LockedMethods`]: methods with `#[locked]`.

use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{FromLockError, LockSource, Reload};
use server_test::both;

use super::{Counter, Form};
use crate::api::Body;
use crate::server::Conn;

/// Methods with `#[locked]` that run a closure. [`locked_methods!`] implements it for models.
#[both]
pub(crate) trait LockedMethods: Lockable + Clone + Reload<Conn> {
    /// Calls the method of that form.
    async fn locked_method<S: LockSource<Connection = Conn>, E: FromLockError + Send>(
        &mut self,
        form: Form,
        source: &mut S,
        body: impl Body<Self, E>,
    ) -> Result<(), E>;
}

#[both]
macro_rules! locked_methods {
    ($($model:ty),+ $(,)?) => {$(
        // Inherent, since a method of a trait that borrows `self` cannot be locked.
        impl $model {
            #[locked(conn = source)]
            async fn under_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: diesel_advisory_lock::FromLockError + Send,
            >(
                &mut self,
                source: &mut S,
                body: impl $crate::api::Body<Self, E>,
            ) -> Result<(), E> {
                body.run(self, source.connection()).await
            }

            #[locked(conn = source)]
            async fn under_shared_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: diesel_advisory_lock::FromLockError + Send,
            >(
                &self,
                source: &mut S,
                body: impl $crate::api::Body<Self, E>,
            ) -> Result<(), E> {
                let mut copy = self.clone();
                body.run(&mut copy, source.connection()).await
            }

            #[locked(conn = source, transaction)]
            async fn under_transaction_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: diesel_advisory_lock::FromLockError + Send,
            >(
                &mut self,
                source: &mut S,
                body: impl $crate::api::Body<Self, E>,
            ) -> Result<(), E> {
                body.run(self, source.connection()).await
            }

            #[locked(conn = source, transaction)]
            async fn under_shared_transaction_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: diesel_advisory_lock::FromLockError + Send,
            >(
                &self,
                source: &mut S,
                body: impl $crate::api::Body<Self, E>,
            ) -> Result<(), E> {
                let mut copy = self.clone();
                body.run(&mut copy, source.connection()).await
            }
        }

        impl $crate::suite::support::LockedMethods for $model {
            async fn locked_method<
                S: diesel_advisory_lock::LockSource<Connection = $crate::server::Conn>,
                E: diesel_advisory_lock::FromLockError + Send,
            >(
                &mut self,
                form: $crate::suite::support::Form,
                source: &mut S,
                body: impl $crate::api::Body<Self, E>,
            ) -> Result<(), E> {
                use $crate::suite::support::Form;
                match form {
                    Form::Method => self.under_method(source, body).await,
                    Form::SharedMethod => self.under_shared_method(source, body).await,
                    Form::TransactionMethod => self.under_transaction_method(source, body).await,
                    Form::SharedTransactionMethod => {
                        self.under_shared_transaction_method(source, body).await
                    }
                    other => panic!("{other:?} is not a method"),
                }
            }
        }
    )+};
}

pub(crate) use locked_methods;

locked_methods!(Counter);
