//! [`Case`], and the servers that it runs on.

use std::fmt;

use test_server::{Kind, Server};

use super::Db;

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Db),
    /// It looks at the clock.
    pub(crate) alone: bool,
    /// It needs a server that may be changed, or starts one.
    pub(crate) private: bool,
    /// It is about one kind of server, and starts its own.
    pub(crate) only: Option<Kind>,
}

impl Case {
    pub(crate) fn new(name: &'static str, run: fn(&Db)) -> Self {
        Case {
            name,
            run,
            alone: false,
            private: false,
            only: None,
        }
    }

    pub(crate) fn alone(self) -> Self {
        Case {
            alone: true,
            ..self
        }
    }

    pub(crate) fn private(self) -> Self {
        Case {
            private: true,
            ..self
        }
    }

    pub(crate) fn only(self, kind: Kind) -> Self {
        Case {
            only: Some(kind),
            ..self
        }
    }

    pub(crate) fn is_for(&self, target: Target) -> bool {
        match (self.only, target) {
            (Some(only), Target::Private(kind)) => only == kind,
            (Some(_), Target::Url) => false,
            (None, _) => true,
        }
    }

    /// Told as ignored, where the server is somebody's.
    pub(crate) fn is_ignored_on(&self, target: Target) -> bool {
        self.private && matches!(target, Target::Url)
    }
}

/// A server to test on.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Private(Kind),
    /// The one that `DATABASE_URL` names, for machines where none can be installed.
    Url,
}

impl Target {
    pub(crate) fn all() -> Vec<Target> {
        let private = test_server::kinds_under_test()
            .into_iter()
            .map(Target::Private);
        let url = test_server::url_under_test().map(|_| Target::Url);
        private.chain(url).collect()
    }

    pub(super) fn url(self, database: &str) -> String {
        match self {
            Target::Private(kind) => Server::shared(kind).url(database),
            Target::Url => {
                let url =
                    test_server::url_under_test().expect("checked when the cases were listed");
                let (before, after) = url.split_at(url.find("://").map_or(0, |at| at + 3));
                let server = after.split(['/', '?']).next().unwrap_or_default();
                format!("{before}{server}/{database}")
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Private(kind) => kind.fmt(f),
            Target::Url => f.write_str("url"),
        }
    }
}
