//! [`check_server`]: whether locks hold on a server.

use std::time::Duration;

pub use diesel_advisory_lock::server::{Finding, ServerError, ServerReport, Vendor};

use crate::connection::LockSource;
use crate::driver::Via;

/// Checks whether locks hold on the server of a connection, once at the start of a program: the
/// blocking crate's [`check_server`](diesel_advisory_lock::check_server).
///
/// # Errors
///
/// [`ServerError::Refused`] if locks do not hold, and [`ServerError::Database`] if the server could
/// not be asked.
pub async fn check_server<S: LockSource>(conn: &mut S) -> Result<ServerReport, ServerError> {
    ServerCheck::new().run(conn).await
}

/// A server check with options.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "nothing is checked until `.run(conn)`"]
pub struct ServerCheck(diesel_advisory_lock::server::ServerCheck);

impl ServerCheck {
    /// Makes a check without options.
    pub fn new() -> Self {
        ServerCheck::default()
    }

    /// Checks for a program that leaves a session idle under a lock for up to this time.
    pub fn keep_alive(self, keep_alive: Duration) -> Self {
        ServerCheck(self.0.keep_alive(keep_alive))
    }

    /// Checks the server.
    ///
    /// # Errors
    ///
    /// As for [`check_server`].
    pub async fn run<S: LockSource>(self, conn: &mut S) -> Result<ServerReport, ServerError> {
        self.0.check(&mut Via(conn)).await
    }
}
