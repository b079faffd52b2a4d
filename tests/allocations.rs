//! The allocations of names and waiters, which do not depend on the speed of the machine.

use allocation_counter::measure;
#[cfg(feature = "r2d2")]
use diesel_advisory_lock::prelude::*;

diesel::table! {
    memberships (team, user) {
        team -> BigInt,
        user -> Text,
    }
}

#[derive(diesel::Identifiable)]
#[diesel(table_name = memberships, primary_key(team, user))]
struct Membership {
    team: i64,
    user: String,
}

fn allocations(name: impl Fn() -> LockName) -> u64 {
    // The table's name is rendered once and cached.
    name();
    measure(|| drop(name())).count_total
}

#[test]
fn readable_name_takes_one_allocation() {
    let membership = Membership {
        team: i64::MIN,
        user: "alice".to_owned(),
    };
    assert_eq!(allocations(|| membership.lock_name()), 1);
    assert_eq!(
        allocations(|| LockName::row(memberships::table, (7, "alice"))),
        1
    );
    assert_eq!(allocations(|| LockName::table(memberships::table)), 1);
    assert_eq!(allocations(|| LockName::named("nightly-report")), 1);
}

/// The second allocation is the state of the hash, which a scope continues.
#[test]
fn hashed_name_takes_two_allocations_for_any_key_length() {
    let long = "É".repeat(10_000);
    assert_eq!(
        allocations(|| LockName::row(memberships::table, (7, long.as_str()))),
        2
    );
    assert_eq!(allocations(|| LockName::named("Nightly report")), 2);
}

/// The crate allocates the full name. Diesel allocates the rest: it builds the parameters and
/// columns of each statement anew. The acquisition has the name as two parameters, and so has the
/// release, which checks whether the session still holds the lock. `tracing` and `metrics` allocate
/// nothing.
#[cfg(all(feature = "mysql", feature = "r2d2"))]
#[test]
fn uncontended_lock_takes_at_most_26_allocations() {
    let locks = locks();
    let conn = &mut locks.pool().get().unwrap();
    let name = LockName::named("nightly-report");
    let mut hold = || {
        let request = name.lock();
        request.run(conn, |_, _| Ok::<_, LockError>(())).unwrap();
    };
    hold();
    let cost = measure(hold);
    assert!(cost.count_total <= 26, "{cost:?}");
    assert_eq!(cost.count_current, 0, "{cost:?}");
}

/// Besides its thread, a waiter allocates the name, its entry in the queue, and its wake-up. The
/// first waiter of a queue allocates a block of eleven entries.
#[cfg(all(feature = "mysql", feature = "r2d2"))]
#[test]
fn waiter_in_a_lock_pool_takes_at_most_512_bytes() {
    let locks = locks();
    let name = LockName::named("hourly-report");
    let held = locks.acquire(name.lock()).unwrap();
    let cost = measure(|| {
        let request = name.lock().no_wait();
        assert!(locks.try_acquire(request).unwrap().is_none());
    });
    held.release().unwrap();
    assert!(cost.bytes_max <= 512, "{cost:?}");
}

#[cfg(all(feature = "mysql", feature = "r2d2"))]
#[test]
fn name_without_requests_takes_no_memory_in_a_lock_pool() {
    let locks = locks();
    let hold_and_release = |numbers: std::ops::Range<i64>| {
        for number in numbers {
            let name = LockName::row(memberships::table, (number, "alice"));
            let request = name.lock();
            locks.run(request, |_, _| Ok::<_, LockError>(())).unwrap();
        }
    };
    hold_and_release(1_000..1_010);
    let kept = measure(|| hold_and_release(1_010..3_000)).bytes_current;
    assert_eq!(kept, 0);

    // The capacity for many locks at once is also freed.
    let all_at_once = || {
        let held: Vec<_> = (0..1_000)
            .map(|number| LockName::row(memberships::table, (number, "bob")))
            .collect();
        locks
            .run(lock_all(held), |_, _| Ok::<_, LockError>(()))
            .unwrap();
    };
    let kept = measure(all_at_once).bytes_current;
    assert!(kept <= 20 * 1024, "{kept} bytes");
}

#[cfg(all(feature = "mysql", feature = "r2d2"))]
fn locks() -> LockPool<diesel::MysqlConnection> {
    use diesel::r2d2::{ConnectionManager, Pool};

    let url = test_server::url_under_test()
        .unwrap_or_else(|| test_server::Server::shared(test_server::kinds_under_test()[0]).url(""));
    let manager = ConnectionManager::new(url);
    LockPool::new(Pool::builder().max_size(1).build(manager).unwrap())
}
