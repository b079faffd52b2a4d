//! [`ServerTest`]: one test of a case, which `#[server_test]` writes.

use std::sync::{OnceLock, PoisonError, RwLock};

use super::Db;
use crate::server::ServerKind;

pub(crate) struct ServerTest {
    pub(crate) kind: &'static str,
    /// No other case runs meanwhile.
    pub(crate) serial: bool,
    /// The case needs a private server.
    pub(crate) own_server: bool,
}

impl ServerTest {
    /// Runs the case on a new database.
    pub(crate) fn run(self, case: fn(&Db)) {
        // Held for writing by a serial case, for reading by the others.
        static CLOCK: RwLock<()> = RwLock::new(());
        let _alone = self
            .serial
            .then(|| CLOCK.write().unwrap_or_else(PoisonError::into_inner));
        let _beside = (!self.serial).then(|| CLOCK.read().unwrap_or_else(PoisonError::into_inner));

        let kind = self.kind.parse().unwrap();
        if let Some(url) = test_server::url_under_test() {
            self.assert_fits(kind, &url);
        }
        case(&Db::create(kind));
    }

    /// A test that the server of `DATABASE_URL` cannot run fails, and does not pass in silence.
    fn assert_fits(&self, kind: ServerKind, url: &str) {
        static FOUND: OnceLock<ServerKind> = OnceLock::new();
        let found = *FOUND.get_or_init(|| {
            ServerKind::at_url(url).unwrap_or_else(|error| panic!("DATABASE_URL: {error}"))
        });
        assert!(
            kind == found,
            "the server of DATABASE_URL is of the kind {found}: skip this test by `--skip ::{kind}_`"
        );
        assert!(
            !self.own_server,
            "this case changes its server: skip this test by `--skip ::{kind}_own_server`"
        );
    }
}
