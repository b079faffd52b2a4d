//! A lock in Redis, on a private server.

mod server;

use anyhow::{Result, ensure};
use redis::{Client, Script};

use super::Competitors;
use super::{Competitor, Load, Outcome, poll};
use crate::database::{Database, Transport, id_name};
pub(crate) use server::Server;

/// A key that is set if it is absent, and expires. A script deletes it if the value still matches.
struct Redis<'a> {
    server: &'a Server,
    transport: Transport,
}

const RELEASE: &str = "
    if redis.call('GET', KEYS[1]) == ARGV[1] then
        return redis.call('DEL', KEYS[1])
    end
    return 0";

/// Starts a server. Without one, prints that Redis is left out.
pub(crate) fn start(database: &Database) -> Option<Server> {
    database
        .directory()
        .and_then(Server::start)
        .inspect_err(|error| println!("Redis is left out: {error:#}\n"))
        .ok()
}

/// Returns the competitor, if there is a server.
pub(crate) fn competitors(server: Option<&Server>, transport: Transport) -> Competitors<'_> {
    let redis = server.map(|server| Redis { server, transport });
    redis
        .into_iter()
        .map(|redis| Box::new(redis) as _)
        .collect()
}

impl Competitor for Redis<'_> {
    fn name(&self) -> String {
        "Redis, SET NX PX + script".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(id_name);
        let client = Client::open(self.server.url(self.transport))?;
        // A failed run may have left keys.
        redis::cmd("FLUSHALL").exec(&mut client.get_connection()?)?;
        let release = Script::new(RELEASE);
        load.in_threads(load.threads, |thread| {
            let conn = &mut client.get_connection()?;
            let number = thread.number;
            let mut count = 0_u64;
            thread.repeat(|name, recorder| {
                let name = &names[name];
                count += 1;
                let token = format!("{number}-{count}");
                recorder.requested();
                poll::until(|| {
                    let mut set = redis::cmd("SET");
                    set.arg(name).arg(&token).arg("NX").arg("PX").arg(45_000);
                    let done: Option<String> = set.query(conn)?;
                    Ok(done.is_some())
                })?;
                recorder.acquired();
                let deleted: i64 = release.key(name).arg(&token).invoke(conn)?;
                ensure!(deleted == 1, "not released");
                Ok(())
            })
        })
    }
}
