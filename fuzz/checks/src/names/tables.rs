//! Tables. A `table!` is a type, and so its name cannot be made up at run time: these are all.

use diesel_advisory_lock::{LockKey, LockName};

/// What a table is called on the server.
#[derive(Clone, Copy)]
pub(super) struct Sql {
    pub(super) schema: Option<&'static str>,
    pub(super) name: &'static str,
}

macro_rules! tables {
    ($($module:ident: $($schema:ident .)? $name:literal;)+) => {
        $(mod $module {
            diesel::table! {
                #[sql_name = $name]
                $($schema.)? it (id) { id -> Integer, }
            }
        })+

        const ALL: &[Sql] = &[$(Sql {
            schema: [$(Some(stringify!($schema)),)? None][0],
            name: $name,
        }),+];

        pub(super) const COUNT: u8 = ALL.len() as u8;

        pub(super) fn row(number: u8, key: &impl LockKey) -> LockName {
            let rows = [$(|key| LockName::row_unchecked($module::it::table, key)),+];
            rows[at(number)](key)
        }

        pub(super) fn table(number: u8) -> LockName {
            let tables = [$(|| LockName::table($module::it::table)),+];
            tables[at(number)]()
        }
    };
}

tables! {
    one: "t";
    notifications: "notifications";
    // Beside it: what the row `notifications:42` and the table `t` could be taken for.
    prefix: "notification";
    row: "notifications:42";
    whole: "t:*";
    named: "=t";
    comma: "t,t";
    scoped: "t#t";
    hashed: "t~muw2d7ufkfabp6cnf3m7rnawky";
    slash: "app/t";
    dotted: "app.users";
    users: "users";
    users_of_app: app."users";
    users_of_other: Other."users";
    users_of_schema_with_capitals: ÉCOLE."Users";
    capital: "Users";
    accent: "café";
    beyond: "🔒";
    kelvin: "\u{212a}";
    backtick: "a`.`b";
    backticks: "``";
    quoted: "it's \"a\" \\ b";
    space: " ";
    nul: "a\0b";
    minus: "-";
    star: "*";
    underscore: "_";
    length_27: "ttttttttttttttttttttttttttt";
    length_28: "tttttttttttttttttttttttttttt";
    length_29: "ttttttttttttttttttttttttttttt";
    length_52: "tttttttttttttttttttttttttttttttttttttttttttttttttttt";
    length_53: "ttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    length_54: "tttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    length_55: "ttttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    length_56: "tttttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    length_64: "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    accents_64: "éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé";
}

pub(super) fn sql(number: u8) -> Sql {
    ALL[at(number)]
}

fn at(number: u8) -> usize {
    usize::from(number % COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers beyond the count come round: two subjects must not differ by that alone.
    #[test]
    fn tables_are_many_and_distinct() {
        let mut names: Vec<_> = ALL.iter().map(|sql| (sql.schema, sql.name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), usize::from(COUNT));
        assert_eq!(sql(COUNT).name, sql(0).name);
    }
}
