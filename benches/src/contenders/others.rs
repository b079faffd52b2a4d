//! Those who need something installed: each takes part where it is there.

use anyhow::Result;

use super::Lockers;
use super::python::{Environment, Program, Python};
use super::redis::{self, Redis};
use crate::database::{Database, Transport};

/// The modules in `benches/python/`, each a library.
const LIBRARIES: [&str; 2] = ["with_sqlalchemy", "with_django"];

/// Running until dropped.
pub(crate) struct Others {
    python: Vec<Program>,
    redis: Option<redis::Server>,
}

impl Others {
    /// Says who is left out, and why.
    pub(crate) fn start(database: &Database) -> Self {
        let python = python(database).unwrap_or_else(|error| {
            println!("left out, what is in Python: {error:#}\n");
            Vec::new()
        });
        let redis = redis::Server::start(database.directory())
            .map_err(|error| println!("left out, Redis: {error:#}\n"));
        Self {
            python,
            redis: redis.ok(),
        }
    }

    pub(crate) fn python(&mut self, transport: Transport) -> Lockers<'_> {
        self.split(transport).0
    }

    pub(crate) fn redis(&mut self, transport: Transport) -> Lockers<'_> {
        self.split(transport).1
    }

    pub(crate) fn all(&mut self, transport: Transport) -> Lockers<'_> {
        let (mut all, redis) = self.split(transport);
        all.extend(redis);
        all
    }

    /// Those in Python, and Redis.
    fn split(&mut self, transport: Transport) -> (Lockers<'_>, Lockers<'_>) {
        let python = self.python.iter_mut();
        let python = python.map(|program| Box::new(Python { program, transport }) as _);
        let redis = self.redis.iter();
        let redis = redis.map(|server| Box::new(Redis { server, transport }) as _);
        (python.collect(), redis.collect())
    }
}

fn python(database: &Database) -> Result<Vec<Program>> {
    let environment = Environment::prepare()?;
    LIBRARIES
        .iter()
        .map(|module| Program::start(&environment, database, module))
        .collect()
}
