//! Names in their written form: the golden values of `docs/lock-names.md`, and properties that hold for all.

use std::collections::BTreeSet;

use diesel_advisory_lock::inspect::{LockedObject, ParsedLockName};
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{KeyParts, LockTable};
use proptest::prelude::*;

/// The document says so.
const SCHEMA: &str = "app";

/// The tables, by what the document calls them.
macro_rules! tables {
    ($($module:ident: $text:literal = $sql_name:literal $(in $schema:ident)?;)+) => {
        $(mod $module {
            diesel::table! {
                #[sql_name = $sql_name]
                $($schema.)? it (id) { id -> Integer, }
            }
        })+

        fn in_table(table: &str, key: Option<&Key>) -> LockName {
            fn name<T: LockTable>(table: T, key: Option<&Key>) -> LockName {
                match key {
                    Some(key) => LockName::row_unchecked(table, key),
                    None => LockName::table(table),
                }
            }
            match table {
                $($text => name($module::it::table, key),)+
                other => panic!("the test knows no table `{other}`"),
            }
        }
    };
}

tables! {
    notifications: "notifications" = "notifications";
    documents: "documents" = "documents";
    memberships: "memberships" = "memberships";
    users: "users" = "users";
    users_of_app: "app.users" = "users" in app;
    users_of_other: "Other.users" = "users" in Other;
    capital: "Users" = "Users";
    accent: "café" = "café";
    dotted: "a.b" = "a.b";
    long: "ttttttttttttttttttttttttttttttttttttttttttttttttttttt" = "ttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    longest: "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt" = "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    too_long: "tttttttttttttttttttttttttttttttttttttttttttttttttttttt" = "tttttttttttttttttttttttttttttttttttttttttttttttttttttt";
}

/// A key of as many columns as a row of the document has.
struct Key(Vec<Box<dyn LockKey>>);

impl LockKey for Key {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        self.0.iter().for_each(|part| part.write_parts(parts));
    }
}

/// A part of a key, of the type that the document names.
fn part(type_: &str, value: &str) -> Box<dyn LockKey> {
    macro_rules! parsed {
        ($($type:ty),+) => {
            match type_ {
                $(stringify!($type) => return Box::new(value.parse::<$type>().unwrap()),)+
                _ => {}
            }
        };
    }
    parsed!(
        i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, bool, String
    );
    let text = value.to_owned();
    let bytes = || {
        data_encoding::HEXLOWER_PERMISSIVE
            .decode(value.as_bytes())
            .unwrap()
    };
    match type_ {
        "str" => Box::new(text.into_boxed_str()),
        "[u8]" => Box::new(bytes().into_boxed_slice()),
        "Vec<u8>" => Box::new(bytes()),
        "[u8; 4]" => Box::new(<[u8; 4]>::try_from(bytes()).unwrap()),
        "Uuid" => Box::new(value.parse::<uuid::Uuid>().unwrap()),
        "chrono::NaiveDate" => Box::new(value.parse::<chrono::NaiveDate>().unwrap()),
        "chrono::NaiveTime" => Box::new(value.parse::<chrono::NaiveTime>().unwrap()),
        "chrono::NaiveDateTime" => Box::new(value.parse::<chrono::NaiveDateTime>().unwrap()),
        "chrono::DateTime" => Box::new(chrono::DateTime::parse_from_rfc3339(value).unwrap()),
        "time::Date" => Box::new(iso::date(value)),
        "time::Time" => Box::new(iso::time(value)),
        "time::PrimitiveDateTime" => Box::new(iso::date_time(value)),
        "time::OffsetDateTime" => {
            let (local, offset) = value.split_once('+').unwrap();
            let hours = offset.strip_suffix(":00").unwrap().parse().unwrap();
            let offset = time::UtcOffset::from_hms(hours, 0, 0).unwrap();
            Box::new(iso::date_time(local).assume_offset(offset))
        }
        other => panic!("the test knows no key type `{other}`: teach it"),
    }
}
mod iso {
    use time::{Date, Month, PrimitiveDateTime, Time};

    pub(super) fn date(text: &str) -> Date {
        let numbers: Vec<i32> = text.split('-').map(|part| part.parse().unwrap()).collect();
        let month = Month::try_from(u8::try_from(numbers[1]).unwrap()).unwrap();
        Date::from_calendar_date(numbers[0], month, u8::try_from(numbers[2]).unwrap()).unwrap()
    }

    pub(super) fn time(text: &str) -> Time {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let numbers: Vec<u8> = whole.split(':').map(|part| part.parse().unwrap()).collect();
        let microsecond = fraction.parse().unwrap();
        Time::from_hms_micro(numbers[0], numbers[1], numbers[2], microsecond).unwrap()
    }

    pub(super) fn date_time(text: &str) -> PrimitiveDateTime {
        let (day, clock) = text.split_once('T').unwrap();
        PrimitiveDateTime::new(date(day), time(clock))
    }
}

/// A row of the document's table.
struct Golden {
    line: &'static str,
    kind: &'static str,
    of: String,
    types: Vec<&'static str>,
    values: Vec<String>,
    scope: Option<String>,
    namespace: Option<String>,
    written: String,
}

impl Golden {
    fn parse(line: &'static str) -> Golden {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [kind, of, types, values, scope, namespace, written] = cells[..] else {
            panic!("not seven cells: {line}");
        };
        Golden {
            line,
            kind,
            of: json(of).expect(line),
            types: match types {
                "" => Vec::new(),
                types => types.trim_matches('`').split(", ").collect(),
            },
            values: json(values).unwrap_or_default(),
            scope: json(scope),
            namespace: json(namespace),
            written: json(written).expect(line),
        }
    }

    fn name(&self) -> LockName {
        assert_eq!(self.types.len(), self.values.len(), "{}", self.line);
        let parts = self.types.iter().zip(&self.values);
        let key = Key(parts.map(|(type_, value)| part(type_, value)).collect());
        let mut name = match self.kind {
            "row" => in_table(&self.of, Some(&key)),
            "table" => in_table(&self.of, None),
            "named" => LockName::named(&self.of),
            "exact" => LockName::exact(&self.of).expect(self.line),
            other => panic!("no such kind: {other}"),
        };
        if let Some(scope) = &self.scope {
            name = name.scope(scope);
        }
        if let Some(namespace) = &self.namespace {
            name = name.namespace(namespace);
        }
        name
    }
}

/// What is in a code span; `None` if the cell is empty.
fn json<T: serde::de::DeserializeOwned>(cell: &str) -> Option<T> {
    let code = cell.strip_prefix('`')?.strip_suffix('`')?;
    Some(serde_json::from_str(code).expect(code))
}

fn golden() -> Vec<Golden> {
    include_str!("../docs/lock-names.md")
        .split("<!-- golden values: begin -->")
        .nth(1)
        .expect("the table")
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(Golden::parse)
        .collect()
}

#[test]
fn every_golden_value_is_what_the_crate_writes() {
    for golden in golden() {
        let name = golden.name();
        assert_eq!(name.full_name(SCHEMA), golden.written, "{}", golden.line);
        let shown = match golden.kind {
            "exact" => &golden.written[..],
            _ => golden.written.split_once('/').unwrap().1,
        };
        assert_eq!(name.to_string(), shown, "{}", golden.line);
    }
}

#[test]
fn the_golden_values_cover_every_kind_and_key_type() {
    let golden = golden();
    assert!(golden.len() >= 100, "only {} rows", golden.len());
    let kinds: BTreeSet<_> = golden.iter().map(|golden| golden.kind).collect();
    assert_eq!(kinds, BTreeSet::from(["exact", "named", "row", "table"]));
    let types: BTreeSet<_> = golden
        .iter()
        .flat_map(|golden| golden.types.clone())
        .collect();
    let expected = [
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "isize",
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "usize",
        "bool",
        "str",
        "String",
        "[u8]",
        "Vec<u8>",
        "[u8; 4]",
        "Uuid",
        "chrono::NaiveDate",
        "chrono::NaiveTime",
        "chrono::NaiveDateTime",
        "chrono::DateTime",
        "time::Date",
        "time::Time",
        "time::PrimitiveDateTime",
        "time::OffsetDateTime",
    ];
    assert_eq!(types, BTreeSet::from(expected));
}

/// A test that cannot fail would show nothing: a wrong value is found.
#[test]
#[should_panic(expected = "left == right")]
fn a_wrong_golden_value_is_found() {
    let golden = Golden::parse(
        r#"| row | `"notifications"` | `i32` | `["42"]` |  |  | `"a172cedc/notifications:43"` |"#,
    );
    assert_eq!(golden.name().full_name(SCHEMA), golden.written);
}

#[test]
fn a_tuple_is_its_parts_in_order() {
    let name = |key: &dyn LockKey| LockName::row_unchecked(memberships::it::table, key);
    let three = Key(vec![Box::new(1), Box::new("a".to_owned()), Box::new(true)]);
    assert_eq!(name(&(1, "a", true)), name(&three));
    assert_eq!(name(&(1, ("a", true))), name(&three));
    assert_eq!(name(&(7,)), name(&7));
    assert_ne!(name(&(1, 2)), name(&(2, 1)));
    let widest = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    let sixteen = Key((1..=16)
        .map(|part| Box::new(part) as Box<dyn LockKey>)
        .collect());
    assert_eq!(name(&widest), name(&sixteen));
}

#[test]
fn a_reference_or_a_box_is_the_key_itself() {
    let name = |key: &dyn LockKey| LockName::row_unchecked(documents::it::table, key);
    let owned = "alice".to_owned();
    assert_eq!(name(&owned), name(&"alice"));
    assert_eq!(name(&&owned), name(&"alice"));
    assert_eq!(name(&Box::new(42)), name(&42_u64));
    assert_eq!(name(&std::borrow::Cow::Borrowed("alice")), name(&"alice"));
}

#[test]
fn a_second_scope_replaces_the_first() {
    for name in [
        LockName::named("a"),
        LockName::named("A"),
        LockName::named("x".repeat(53)),
    ] {
        let once = name.clone().scope("send");
        let twice = name.clone().scope("archive").scope("send");
        assert_eq!(once, twice);
        assert_eq!(once.to_string(), twice.to_string());
        assert_ne!(once, name);
        // In any order with a namespace, too.
        assert_eq!(
            name.clone().namespace("n").scope("send"),
            name.clone().scope("archive").namespace("n").scope("send"),
        );
    }
}

/// Any text, and often text that is nearly plain or nearly equal to another.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-b,:#*=~/.-]{0,4}",
        "[a-zA-Z]{1,3}",
        "[a-z]{40,60}",
        any::<String>(),
    ]
}

fn is_written_as_promised(name: &LockName) -> Result<(), TestCaseError> {
    let written = name.full_name(SCHEMA);
    prop_assert!(written.len() <= 64, "{}", written);
    prop_assert!(name.to_string().len() <= 55, "{}", written);
    prop_assert!(
        written
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"_.,:#*=~/-".contains(&byte)),
        "{}",
        written
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_name_has_the_format(part in text(), other in text(), scope in text(), integer: i128) {
        for name in [
            LockName::row_unchecked(documents::it::table, part.as_str()),
            LockName::row_unchecked(memberships::it::table, (integer, part.as_str())),
            LockName::row_unchecked(capital::it::table, (part.as_str(), other.as_str())),
            LockName::named(&part),
        ] {
            is_written_as_promised(&name)?;
            is_written_as_promised(&name.scope(&scope))?;
        }
    }

    #[test]
    fn distinct_keys_never_share_a_name(first in (text(), text()), second in (text(), text())) {
        let pair = |key: &(String, String)| LockName::row_unchecked(memberships::it::table, (key.0.as_str(), key.1.as_str()));
        prop_assert_eq!(first == second, pair(&first) == pair(&second));
        let single = |key: &str| LockName::row_unchecked(documents::it::table, key);
        prop_assert_eq!(first.0 == second.0, single(&first.0) == single(&second.0));
        let named = |name: &str| LockName::named(name);
        prop_assert_eq!(first.0 == second.0, named(&first.0) == named(&second.0));
    }

    #[test]
    fn distinct_tables_kinds_and_scopes_never_share_a_name(key in text(), scope in text()) {
        let names = [
            LockName::row_unchecked(documents::it::table, key.as_str()),
            LockName::row_unchecked(users::it::table, key.as_str()),
            LockName::row_unchecked(capital::it::table, key.as_str()),
            LockName::table(documents::it::table),
            LockName::named(format!("documents:{key}")),
            LockName::named(&key),
        ];
        let scoped = names.clone().map(|name| name.scope(&scope));
        let all: BTreeSet<String> = names.iter().chain(&scoped).map(|name| name.full_name(SCHEMA)).collect();
        prop_assert_eq!(all.len(), names.len() + scoped.len());
    }

    /// What the names are equal by is what the server is told.
    #[test]
    fn names_are_equal_as_they_are_written(first in text(), second in text()) {
        let (a, b) = (LockName::named(&first), LockName::named(&second));
        prop_assert_eq!(a == b, a.full_name(SCHEMA) == b.full_name(SCHEMA));
    }
    #[test]
    fn a_name_is_read_back_where_it_is_plain(part in text(), scope in text(), integer: i128, is_scoped: bool) {
        let mut name = LockName::row_unchecked(memberships::it::table, (integer, part.as_str()));
        let mut readable = format!("memberships:{integer},{part}");
        let mut plain = is_plain(&part);
        if is_scoped {
            name = name.scope(&scope);
            readable = format!("{readable}#{scope}");
            plain &= is_plain(&scope);
        }
        plain &= readable.len() <= 55;
        let written = name.full_name(SCHEMA);
        let read = ParsedLockName::parse(&written).expect("a name of this crate");
        prop_assert_eq!(read.as_str(), &written);
        prop_assert!(read.is_in(SCHEMA) && !read.is_in("another"));
        match read.subject() {
            LockedObject::Row { table, key } => {
                prop_assert!(plain);
                prop_assert_eq!(table, "memberships");
                prop_assert_eq!(key, &[integer.to_string(), part]);
                prop_assert_eq!(read.scope(), is_scoped.then_some(scope.as_str()));
            }
            LockedObject::Hashed { resembles } => {
                prop_assert!(!plain);
                prop_assert!(resembles.starts_with("memberships-"), "{}", resembles);
                prop_assert_eq!(read.scope(), None);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Whatever else is on a server is no name of this crate, or is one to the letter.
    #[test]
    fn no_other_name_is_read_as_one(text in "[a-f0-9]{7,9}/?[a-z:#,=*~. ]{0,30}([a-z2-7]{26})?") {
        let Some(read) = ParsedLockName::parse(&text) else { return Ok(()) };
        let scope = read.scope().map(|scope| format!("#{scope}")).unwrap_or_default();
        let subject = match read.subject() {
            LockedObject::Row { table, key } => format!("{table}:{}", key.join(",")),
            LockedObject::Table { table } => format!("{table}:*"),
            LockedObject::Named { name } => format!("={name}"),
            LockedObject::Hashed { resembles } => {
                let hash = text.rsplit_once('~').map_or("", |(_, hash)| hash);
                format!("{resembles}~{hash}")
            }
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(format!("{}/{subject}{scope}", read.namespace()), text);
    }
}

fn is_plain(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

#[test]
fn tables_and_named_locks_are_read_back_too() {
    let read = |name: LockName| {
        ParsedLockName::parse(&name.full_name(SCHEMA)).expect("a name of this crate")
    };
    let table = read(LockName::table(documents::it::table).scope("import"));
    let subject = LockedObject::Table {
        table: "documents".into(),
    };
    assert_eq!((table.subject(), table.scope()), (&subject, Some("import")));
    let named = read(LockName::named("nightly-report"));
    let subject = LockedObject::Named {
        name: "nightly-report".into(),
    };
    assert_eq!((named.subject(), named.scope()), (&subject, None));
    for foreign in [
        "",
        "/",
        "Notification|42",
        "a172cedc",
        "a172cedc/",
        "A172CEDC/=a",
        "a172cedc/a",
        "a172cedc/a:",
    ] {
        assert_eq!(ParsedLockName::parse(foreign), None, "{foreign}");
    }
}

/// Tables that are values: one type, and any name.
mod dynamic {
    use diesel_dynamic_schema::{schema, table};

    use super::{LockName, SCHEMA};

    type Named = fn(&str) -> [LockName; 2];

    fn in_table(name: &str) -> [LockName; 2] {
        let table = table(name.to_owned());
        [
            LockName::table(table.clone()),
            LockName::row_unchecked(table, 42),
        ]
    }

    fn in_other_schema(name: &str) -> [LockName; 2] {
        let table = schema("other".to_owned()).table(name.to_owned());
        [
            LockName::table(table.clone()),
            LockName::row_unchecked(table, 42),
        ]
    }

    /// With a table's name kept by its type, the first one used would be the name of all.
    #[track_caller]
    fn assert_two_names(named: Named, first: &str, second: &str) {
        for _ in 0..2 {
            for table in [first, second] {
                let names = named(table).map(|name| name.to_string());
                assert_eq!(names, [format!("{table}:*"), format!("{table}:42")]);
            }
        }
    }

    #[test]
    fn dynamic_tables_have_a_name_each_with_users_first() {
        assert_two_names(in_table, "users", "accounts");
    }

    #[test]
    fn dynamic_tables_have_a_name_each_with_accounts_first() {
        assert_two_names(in_other_schema, "accounts", "users");
    }

    #[test]
    fn dynamic_tables_of_two_schemas_have_a_namespace_each() {
        for (name, in_schema) in [("users", "other"), ("accounts", "third")] {
            let table = schema(in_schema.to_owned()).table(name.to_owned());
            let expected = LockName::row(super::users::it::table, 42).full_name(in_schema);
            let written = LockName::row_unchecked(table, 42).full_name(SCHEMA);
            assert_eq!(written, expected.replace("users", name));
        }
    }

    #[test]
    fn dynamic_table_has_the_name_that_the_table_macro_gives() {
        let [table, row_in_table] = in_table("users");
        assert_eq!(table, LockName::table(super::users::it::table));
        assert_eq!(row_in_table, LockName::row(super::users::it::table, 42));
    }
}
