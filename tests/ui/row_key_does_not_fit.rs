//! A key of another type, with a column missing or too many, or in another order.

use diesel_advisory_lock::LockName;

diesel::table! {
    notes (id) { id -> Integer, }
}
diesel::table! {
    memberships (team, user) { team -> Integer, user -> Text, }
}

fn main() {
    LockName::row(notes::table, "42");
    LockName::row(memberships::table, 7);
    LockName::row(memberships::table, ("alice", 7));
    LockName::row(memberships::table, (7, "alice", 1));
    LockName::row(memberships::table, (7, "alice"));
}
