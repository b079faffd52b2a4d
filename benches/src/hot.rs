//! 64 threads on one lock: each on a connection of its own, or all through a pool of four.

use anyhow::Result;
use diesel_advisory_lock::LockError;
use diesel_advisory_lock::prelude::*;

use crate::database::{Account, Database, Way};
use crate::rounds::{Contender, Plan, medians, throughput};

const THREADS: usize = 64;

pub(crate) fn run(database: &Database, plan: Plan) -> Result<()> {
    let way = Way::Loopback;
    let mut connections = database.connect(way, THREADS)?;
    let locks = LockPool::new(database.pool(way, 4)?);
    let mut threads = [(); THREADS];
    let name = LockName::named("hot");
    let account = Account { id: 1, balance: 0 };
    let connections = std::cell::RefCell::new(&mut connections);
    let threads = std::cell::RefCell::new(&mut threads);
    let mut contenders = [
        Contender::new("hold, 64 connections", |time| {
            throughput(time, connections.borrow_mut().as_mut_slice(), |conn| {
                Ok(name.lock().hold(conn, |_| Ok::<_, LockError>(()))?)
            })
        }),
        Contender::new("hold_from, 4 connections", |time| {
            throughput(time, threads.borrow_mut().as_mut_slice(), |()| {
                Ok(name.lock().hold_from(&locks, |_| Ok::<_, LockError>(()))?)
            })
        }),
        Contender::new("transaction, 64 connections", |time| {
            throughput(time, connections.borrow_mut().as_mut_slice(), |conn| {
                let request = account.clone();
                Ok({ request }
                    .lock()
                    .transaction(conn, |_, _| Ok::<_, LockError>(()))?)
            })
        }),
        Contender::new("transaction_from, 4 connections", |time| {
            throughput(time, threads.borrow_mut().as_mut_slice(), |()| {
                let request = account.clone();
                Ok({ request }
                    .lock()
                    .transaction_from(&locks, |_, _| Ok::<_, LockError>(()))?)
            })
        }),
    ];
    let medians = medians("64 threads on one lock", plan, &mut contenders)?;
    for (contender, median) in contenders.iter().zip(&medians) {
        println!("{:40} {median:10.0}/s", contender.name);
    }
    println!(
        "ratios: hold {:.2}, transaction {:.2}",
        medians[1] / medians[0],
        medians[3] / medians[2]
    );
    Ok(())
}
