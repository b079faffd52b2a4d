//! The lock name format: golden values of `docs/lock-names.md`, and generated cases that are
//! compared with `docs/lock-names.py`. Properties of all names are checked in `fuzz/checks/`.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use diesel_advisory_lock::inspect::{LockedObject, ParsedLockName};
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{KeyParts, LockTable};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

/// The current schema of the connection in all cases of the document, and the schema of the tables
/// on PostgreSQL.
const SCHEMA: &str = "app";

/// The types of key parts in the document.
const TYPES: [&str; 29] = [
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
    "AccountId",
    "Region",
];

#[derive(LockKey)]
struct AccountId(i64);

#[derive(LockKey)]
enum Region {
    #[lock(rename = "eu")]
    Europe,
    Asia,
}

/// Tables of `table!`, each with its text in the document.
macro_rules! tables {
    ($($module:ident: $text:literal = $sql_name:literal $(in $schema:ident)?;)+) => {
        $(mod $module {
            diesel::table! {
                #[sql_name = $sql_name]
                $($schema.)? it (id) { id -> Integer, }
            }
        })+

        /// The row with this key, or the whole table. Other tables are values.
        fn in_table(text: &str, key: Option<&Key>) -> LockName {
            fn name<T: LockTable>(table: T, key: Option<&Key>) -> LockName {
                match key {
                    Some(key) => LockName::row_unchecked(table, key),
                    None => LockName::table(table),
                }
            }
            match text {
                $($text => name($module::it::table, key),)+
                other => match other.split_once('.') {
                    Some((schema, table)) => {
                        let schema = diesel_dynamic_schema::schema(schema.to_owned());
                        name(schema.table(table.to_owned()), key)
                    }
                    None => name(diesel_dynamic_schema::table(other.to_owned()), key),
                },
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
    capital_of_app: "app.Users" = "Users" in app;
    capital_of_other: "Other.Users" = "Users" in Other;
    accent: "café" = "café";
    dotted: "a.b" = "a.b";
}

/// A key with one column for each part.
struct Key(Vec<Box<dyn LockKey>>);

impl LockKey for Key {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        self.0.iter().for_each(|part| part.write_parts(parts));
    }
}

/// A case of the document: one lock name and everything that it is made from.
#[derive(Debug)]
struct Case {
    kind: String,
    /// The table, with its schema if it has one, or the text.
    object: String,
    /// Type and value of each part.
    key: Vec<(String, String)>,
    scope: Option<String>,
    namespace: Option<String>,
}

impl Case {
    fn name(&self) -> LockName {
        let key = Key(self
            .key
            .iter()
            .map(|(type_, value)| part(type_, value))
            .collect());
        let mut name = match &*self.kind {
            "row" => in_table(&self.object, Some(&key)),
            "table" => in_table(&self.object, None),
            "named" => LockName::named(&self.object),
            "exact" => LockName::exact(&self.object).expect("an exact name"),
            other => panic!("unknown kind `{other}`"),
        };
        if let Some(scope) = &self.scope {
            name = name.scope(scope);
        }
        if let Some(namespace) = &self.namespace {
            name = name.namespace(namespace);
        }
        name
    }

    /// The key on PostgreSQL, where the namespace of a lock without a table is empty.
    fn postgres_key(&self) -> i64 {
        let schema = match &*self.kind {
            "named" => "",
            _ => SCHEMA,
        };
        self.name().postgres_key(schema)
    }
}

/// A part of a key, of a type that the document has.
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
        "time::OffsetDateTime" => Box::new(iso::offset_date_time(value)),
        "AccountId" => Box::new(AccountId(value.parse().unwrap())),
        "Region" => match value {
            "Europe" => Box::new(Region::Europe),
            "Asia" => Box::new(Region::Asia),
            other => panic!("unknown region `{other}`"),
        },
        other => panic!("unknown key type `{other}`"),
    }
}

/// Parsers for the types of `time`, whose own are behind a feature.
mod iso {
    use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

    pub(super) fn date(text: &str) -> Date {
        let numbers: Vec<i32> = text.split('-').map(|part| part.parse().unwrap()).collect();
        let month = Month::try_from(u8::try_from(numbers[1]).unwrap()).unwrap();
        Date::from_calendar_date(numbers[0], month, u8::try_from(numbers[2]).unwrap()).unwrap()
    }

    pub(super) fn time(text: &str) -> Time {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let numbers: Vec<u8> = whole.split(':').map(|part| part.parse().unwrap()).collect();
        let nanosecond = format!("{fraction:0<9}").parse().unwrap();
        Time::from_hms_nano(numbers[0], numbers[1], numbers[2], nanosecond).unwrap()
    }

    pub(super) fn date_time(text: &str) -> PrimitiveDateTime {
        let (day, clock) = text.split_once('T').unwrap();
        PrimitiveDateTime::new(date(day), time(clock))
    }

    pub(super) fn offset_date_time(text: &str) -> OffsetDateTime {
        let (local, offset) = text.split_at(text.len() - "+00:00".len());
        let (hours, minutes) = offset.split_once(':').unwrap();
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let minutes: i8 = minutes.parse().unwrap();
        let offset = UtcOffset::from_hms(hours.parse().unwrap(), sign * minutes, 0).unwrap();
        date_time(local).assume_offset(offset)
    }
}

/// The cases of the document with their full names and PostgreSQL keys.
fn golden_values() -> Vec<(Case, String, i64)> {
    include_str!("../docs/lock-names.md")
        .split("<!-- golden values: begin -->")
        .nth(1)
        .expect("the table")
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(parse_golden_value)
        .collect()
}

fn parse_golden_value(line: &str) -> (Case, String, i64) {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [
        kind,
        object,
        types,
        values,
        scope,
        namespace,
        full_name,
        key,
    ] = cells[..]
    else {
        panic!("not eight cells: {line}");
    };
    let types: Vec<&str> = match types {
        "" => Vec::new(),
        types => types.trim_matches('`').split(", ").collect(),
    };
    let values: Vec<String> = json_cell(values).unwrap_or_default();
    assert_eq!(types.len(), values.len(), "{line}");
    let case = Case {
        kind: kind.to_owned(),
        object: json_cell(object).expect(line),
        key: types.into_iter().map(str::to_owned).zip(values).collect(),
        scope: json_cell(scope),
        namespace: json_cell(namespace),
    };
    let full_name = json_cell(full_name).expect(line);
    (case, full_name, json_cell(key).expect(line))
}

/// The JSON in a code span. `None` if the cell is empty.
fn json_cell<T: serde::de::DeserializeOwned>(cell: &str) -> Option<T> {
    let code = cell.strip_prefix('`')?.strip_suffix('`')?;
    Some(serde_json::from_str(code).expect(code))
}

#[test]
fn names_equal_the_golden_values() {
    for (case, full_name, key) in golden_values() {
        let name = case.name();
        assert_eq!(case.postgres_key(), key, "{case:?}");
        assert_eq!(name.full_name(SCHEMA), full_name, "{case:?}");
        let shown = match &*case.kind {
            "exact" => &full_name[..],
            _ => full_name.split_once('/').unwrap().1,
        };
        assert_eq!(name.to_string(), shown, "{case:?}");
    }
}

#[test]
fn golden_values_cover_every_kind_and_key_type() {
    let golden = golden_values();
    assert!(golden.len() >= 100, "only {} rows", golden.len());
    let kinds: BTreeSet<&str> = golden.iter().map(|(case, ..)| &*case.kind).collect();
    assert_eq!(kinds, BTreeSet::from(["exact", "named", "row", "table"]));
    let keys = golden.iter().flat_map(|(case, ..)| &case.key);
    let types: BTreeSet<&str> = keys.map(|(type_, _)| &**type_).collect();
    assert_eq!(types, BTreeSet::from(TYPES));
}

#[test]
fn golden_values_equal_those_of_the_python_program() {
    python(&["--check"], b"");
}

#[test]
fn generated_names_equal_those_of_the_python_program() {
    // The generator is seeded with a constant, so every run has the same cases.
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Case> = (0..3_000)
        .map(|_| case().new_tree(&mut runner).expect("a case").current())
        .collect();
    let input: Vec<_> = cases
        .iter()
        .map(|case| json!([case.kind, case.object, case.key, case.scope, case.namespace]))
        .collect();
    let output = python(&["--names"], json!(input).to_string().as_bytes());
    let names: Vec<(String, i64)> = serde_json::from_slice(&output.stdout).expect("an array");
    assert_eq!(names.len(), cases.len());
    for (case, (full_name, key)) in cases.iter().zip(names) {
        assert_eq!(case.name().full_name(SCHEMA), full_name, "{case:?}");
        assert_eq!(case.postgres_key(), key, "{case:?}");
    }
}

/// Runs `docs/lock-names.py`. It reads all its input before it writes.
fn python(arguments: &[&str], input: &[u8]) -> Output {
    let mut program = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lock-names.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is not installed: install Debian's package python3");
    // The program has not read its input if it has failed, which is reported below.
    let _ = program.stdin.take().expect("a pipe").write_all(input);
    let output = program.wait_with_output().expect("the program's output");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    output
}

/// Any case but an exact name.
fn case() -> impl Strategy<Value = Case> {
    let table = || {
        // A dot ends the schema.
        let without_dots = || text().prop_map(|text| text.replace('.', ""));
        prop_oneof![
            without_dots(),
            (without_dots(), without_dots()).prop_map(|(schema, table)| schema + "." + &table),
        ]
    };
    let key = prop::collection::vec(typed_value(), 1..=4);
    let kind_object_key = prop_oneof![
        3 => (Just("row"), table(), key),
        1 => (Just("table"), table(), Just(Vec::new())),
        1 => (Just("named"), text(), Just(Vec::new())),
    ];
    let option = || prop::option::of(text());
    (kind_object_key, option(), option()).prop_map(|((kind, object, key), scope, namespace)| Case {
        kind: kind.to_owned(),
        object,
        key,
        scope,
        namespace,
    })
}

/// Any text, and often text that is plain or nearly plain.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-b,:#*=~/.-]{0,4}",
        "[a-z0-9_.-]{1,8}",
        "[a-zA-Z]{1,3}",
        "[a-z]{40,60}",
        any::<String>(),
    ]
}

fn typed_value() -> impl Strategy<Value = (String, String)> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let values = (any::<i128>(), text(), bytes, date_time());
    (select(&TYPES), values).prop_map(|(type_, (integer, text, bytes, [date, time, offset]))| {
        let value = match type_ {
            // Truncated to the type.
            "i8" => (integer as i8).to_string(),
            "i16" => (integer as i16).to_string(),
            "i32" => (integer as i32).to_string(),
            "i64" => (integer as i64).to_string(),
            "i128" => integer.to_string(),
            "isize" => (integer as isize).to_string(),
            "u8" => (integer as u8).to_string(),
            "u16" => (integer as u16).to_string(),
            "u32" => (integer as u32).to_string(),
            "u64" => (integer as u64).to_string(),
            "u128" => (integer as u128).to_string(),
            "usize" => (integer as usize).to_string(),
            "bool" => (integer % 2 == 0).to_string(),
            "str" | "String" => text,
            "[u8]" | "Vec<u8>" => data_encoding::HEXLOWER.encode(&bytes),
            "[u8; 4]" => format!("{:08x}", integer as u32),
            "Uuid" => uuid::Uuid::from_u128(integer as u128).to_string(),
            "chrono::NaiveDate" | "time::Date" => date,
            "chrono::NaiveTime" | "time::Time" => time,
            "chrono::NaiveDateTime" | "time::PrimitiveDateTime" => date + "T" + &time,
            "chrono::DateTime" | "time::OffsetDateTime" => date + "T" + &time + &offset,
            "AccountId" => (integer as i64).to_string(),
            "Region" => if integer % 2 == 0 { "Europe" } else { "Asia" }.to_owned(),
            other => panic!("unknown key type `{other}`"),
        };
        (type_.to_owned(), value)
    })
}

/// Date, time and offset from UTC.
fn date_time() -> impl Strategy<Value = [String; 3]> {
    // In UTC the year has four digits too.
    let date = (2..=9998, 1..=12, 1..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    let whole = (0..24, 0..60, 0..60).prop_map(|(h, m, s)| format!("{h:02}:{m:02}:{s:02}"));
    let fraction = prop_oneof![
        Just(String::new()),
        (0..1_000_000_000).prop_map(|nanoseconds| format!(".{nanoseconds:09}")),
        (0..1_000_000).prop_map(|microseconds| format!(".{microseconds:06}")),
    ];
    let time = (whole, fraction).prop_map(|(whole, fraction)| whole + &fraction);
    let minutes = select(&[0, 15, 30, 45]);
    let offset =
        (select(&["+", "-"]), 0..14, minutes).prop_map(|(s, h, m)| format!("{s}{h:02}:{m:02}"));
    (date, time, offset).prop_map(<[String; 3]>::from)
}

#[test]
fn tuple_key_names_its_parts_in_order() {
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
fn reference_or_box_names_the_same_row_as_the_key() {
    let name = |key: &dyn LockKey| LockName::row_unchecked(documents::it::table, key);
    let owned = "alice".to_owned();
    assert_eq!(name(&owned), name(&"alice"));
    assert_eq!(name(&&owned), name(&"alice"));
    assert_eq!(name(&Box::new(42)), name(&42_u64));
    assert_eq!(name(&std::borrow::Cow::Borrowed("alice")), name(&"alice"));
}

#[test]
fn second_scope_replaces_the_first() {
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
        // A namespace in between changes nothing.
        assert_eq!(
            name.clone().namespace("n").scope("send"),
            name.clone().scope("archive").namespace("n").scope("send"),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A parsed name is the whole text, so a name of another program is never parsed in part.
    #[test]
    fn parsed_name_gives_its_text_back(
        text in "[a-f0-9]{7,9}/?[a-z:#,=*~. ]{0,30}([a-z2-7]{26})?",
    ) {
        let Some(parsed) = ParsedLockName::parse(&text) else { return Ok(()) };
        let scope = parsed.scope().map(|scope| format!("#{scope}")).unwrap_or_default();
        let subject = match parsed.subject() {
            LockedObject::Row { table, key } => format!("{table}:{}", key.join(",")),
            LockedObject::Table { table } => format!("{table}:*"),
            LockedObject::Named { name } => format!("={name}"),
            LockedObject::Hashed { resembles } => {
                let hash = text.rsplit_once('~').map_or("", |(_, hash)| hash);
                format!("{resembles}~{hash}")
            }
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(format!("{}/{subject}{scope}", parsed.namespace()), text);
    }
}

#[test]
fn parsed_name_has_its_object_and_scope() {
    let parse = |name: LockName| {
        ParsedLockName::parse(&name.full_name(SCHEMA)).expect("a name of this crate")
    };
    let row = parse(LockName::row_unchecked(
        memberships::it::table,
        (7, "alice"),
    ));
    let object = LockedObject::Row {
        table: "memberships".into(),
        key: vec!["7".into(), "alice".into()],
    };
    assert_eq!((row.subject(), row.scope()), (&object, None));
    let table = parse(LockName::table(documents::it::table).scope("import"));
    let object = LockedObject::Table {
        table: "documents".into(),
    };
    assert_eq!((table.subject(), table.scope()), (&object, Some("import")));
    let named = parse(LockName::named("nightly-report"));
    let object = LockedObject::Named {
        name: "nightly-report".into(),
    };
    assert_eq!((named.subject(), named.scope()), (&object, None));
    let hashed = parse(LockName::named("Nightly report").scope("eu"));
    let object = LockedObject::Hashed {
        resembles: "-nightly-report-eu".into(),
    };
    assert_eq!((hashed.subject(), hashed.scope()), (&object, None));
    assert!(hashed.is_in(SCHEMA) && !hashed.is_in("another"));
}

#[test]
fn names_in_other_formats_are_not_parsed() {
    for name in [
        "",
        "/",
        "Notification|42",
        "a172cedc",
        "a172cedc/",
        "A172CEDC/=a",
        "a172cedc/a",
        "a172cedc/a:",
    ] {
        assert_eq!(ParsedLockName::parse(name), None, "{name}");
    }
}

/// Tables that are values: all of them have one type, and each has its own name.
mod dynamic {
    use diesel_dynamic_schema::{schema, table};

    use super::{LockName, SCHEMA};

    fn names_in_table(name: &str) -> [LockName; 2] {
        let table = table(name.to_owned());
        [
            LockName::table(table.clone()),
            LockName::row_unchecked(table, 42),
        ]
    }

    fn names_in_other_schema(name: &str) -> [LockName; 2] {
        let table = schema("other".to_owned()).table(name.to_owned());
        [
            LockName::table(table.clone()),
            LockName::row_unchecked(table, 42),
        ]
    }

    /// If a name was cached by the type of its table, the first table would name both.
    #[track_caller]
    fn assert_tables_have_their_own_names(
        names: impl Fn(&str) -> [LockName; 2],
        first: &str,
        second: &str,
    ) {
        for _ in 0..2 {
            for table in [first, second] {
                let names = names(table).map(|name| name.to_string());
                assert_eq!(names, [format!("{table}:*"), format!("{table}:42")]);
            }
        }
    }

    #[test]
    fn dynamic_tables_have_their_own_names() {
        assert_tables_have_their_own_names(names_in_table, "users", "accounts");
    }

    #[test]
    fn dynamic_tables_of_a_schema_have_their_own_names() {
        assert_tables_have_their_own_names(names_in_other_schema, "accounts", "users");
    }

    #[test]
    fn dynamic_tables_of_two_schemas_have_their_own_namespaces() {
        for (name, in_schema) in [("users", "other"), ("accounts", "third")] {
            let table = schema(in_schema.to_owned()).table(name.to_owned());
            let expected = LockName::row(super::users::it::table, 42).full_name(in_schema);
            let full_name = LockName::row_unchecked(table, 42).full_name(SCHEMA);
            assert_eq!(full_name, expected.replace("users", name));
        }
    }

    #[test]
    fn dynamic_table_has_the_name_that_the_table_macro_gives() {
        let [table, row] = names_in_table("users");
        assert_eq!(table, LockName::table(super::users::it::table));
        assert_eq!(row, LockName::row(super::users::it::table, 42));
    }
}
