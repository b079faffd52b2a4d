//! [`Part`]: a part of the library that is measured without a server.

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

/// A part of the library that is measured without a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The name of a loaded model, `notifications:42`
    Name,
    /// The name of a model with two keys, `memberships:7,alice`
    TwoKeys,
    /// The name of a model with a hashed key
    Hashed,
    /// A scope added to a name
    Scope,
    /// The full name that is sent to the server
    FullName,
}

impl Part {
    pub fn all() -> &'static [Part] {
        Part::value_variants()
    }

    /// Returns the description on the command line.
    pub fn title(self) -> String {
        let value = self.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }

    /// Returns a closure that runs the part once.
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
            Part::FullName => Box::new(move || drop(black_box(black_box(&name).full_name("app")))),
        }
    }
}

impl fmt::Display for Part {
    /// Writes the name on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
