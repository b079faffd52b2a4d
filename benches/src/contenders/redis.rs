//! The lock that people build in Redis.

mod server;

use anyhow::{Result, ensure};
use redis::{Client, Script};

use super::{Load, Locker, Outcome, poll};
use crate::database::{Transport, id_name};
pub(crate) use server::Server;

/// A key that is set only if it is not there and ends by itself, and a script that deletes it only for who set it.
pub(crate) struct Redis<'a> {
    pub(crate) server: &'a Server,
    pub(crate) transport: Transport,
}

const RELEASE: &str = "
    if redis.call('GET', KEYS[1]) == ARGV[1] then
        return redis.call('DEL', KEYS[1])
    end
    return 0";

impl Locker for Redis<'_> {
    fn name(&self) -> String {
        "Redis, SET NX PX + script".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let names = load.names(id_name);
        let client = Client::open(self.server.url(self.transport))?;
        // Whoever failed in a run before left its key.
        redis::cmd("FLUSHALL").exec(&mut client.get_connection()?)?;
        let release = Script::new(RELEASE);
        load.in_threads(load.threads, |thread| {
            let conn = &mut client.get_connection()?;
            let number = thread.number;
            let mut count = 0_u64;
            thread.repeat(|name, turns| {
                let name = &names[name];
                count += 1;
                let token = format!("{number}-{count}");
                turns.asks();
                poll::until(|| {
                    let mut set = redis::cmd("SET");
                    set.arg(name).arg(&token).arg("NX").arg("PX").arg(45_000);
                    let done: Option<String> = set.query(conn)?;
                    Ok(done.is_some())
                })?;
                turns.holds();
                let deleted: i64 = release.key(name).arg(&token).invoke(conn)?;
                ensure!(deleted == 1, "not released");
                Ok(())
            })
        })
    }
}
