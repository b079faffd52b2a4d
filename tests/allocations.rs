//! What a name costs: one allocation, the text itself. Counted, so a slow machine changes nothing.

use allocation_counter::measure;
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
    // The table's own name is rendered once and kept.
    name();
    measure(|| drop(name())).count_total
}

#[test]
fn a_readable_name_is_one_allocation() {
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

/// The second is the state of the hash, which a scope goes on from.
#[test]
fn a_hashed_name_is_two_however_long_the_key() {
    let long = "É".repeat(10_000);
    assert_eq!(
        allocations(|| LockName::row(memberships::table, (7, long.as_str()))),
        2
    );
    assert_eq!(allocations(|| LockName::named("Nightly report")), 2);
}
