//! [`Part`]: what is measured.

use std::fmt;
use std::hint::black_box;

use clap::ValueEnum;
use diesel::Identifiable;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> BigInt,
    }
}

diesel::table! {
    memberships (team, user) {
        team -> BigInt,
        user -> Text,
    }
}

#[derive(Identifiable)]
#[diesel(table_name = notifications)]
struct Notification {
    id: i64,
}

#[derive(Identifiable)]
#[diesel(table_name = memberships, primary_key(team, user))]
struct Membership {
    team: i64,
    user: &'static str,
}

/// A part of the library that runs without a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The name of a loaded model, `notifications:42`
    Name,
    /// The same of two keys, `memberships:7,alice`
    TwoKeys,
    /// The same of a key that is hashed, because it cannot stand in a name
    Hashed,
    /// A scope for a name that is there
    Scope,
    /// What the server is told: the name with the hash of its namespace
    Written,
}

impl Part {
    pub fn all() -> &'static [Part] {
        Part::value_variants()
    }

    /// What it is, in a few words.
    pub fn title(self) -> String {
        let value = self.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }

    /// Gives a closure that does it once.
    pub fn work(self) -> Box<dyn Fn()> {
        let notification = Notification { id: 42 };
        let name = notification.lock_name();
        let of_two = |user| Membership { team: 7, user };
        let (plain, hashed) = (of_two("alice"), of_two("Élise"));
        match self {
            Part::Name => Box::new(move || drop(black_box(black_box(&notification).lock_name()))),
            Part::TwoKeys => Box::new(move || drop(black_box(black_box(&plain).lock_name()))),
            Part::Hashed => Box::new(move || drop(black_box(black_box(&hashed).lock_name()))),
            Part::Scope => {
                Box::new(move || drop(black_box(black_box(&name).clone().scope("send"))))
            }
            Part::Written => Box::new(move || drop(black_box(black_box(&name).full_name("app")))),
        }
    }
}

impl fmt::Display for Part {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
