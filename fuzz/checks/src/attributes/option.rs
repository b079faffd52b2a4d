//! The options of all three macros, right and wrong, and what they mean by the documentation.

use std::time::Duration;

use arbitrary::Arbitrary;

use super::expected::{Writer, pick};
use crate::text::Text;

/// An option as it is written.
#[derive(Arbitrary, Debug)]
pub(super) enum Opt<'a> {
    Timeout(Value),
    LongestHold(Value),
    NoWait(Tail),
    WaitForever(Tail),
    Scope(Option<Value>),
    Transaction(Tail),
    Conn(Name),
    Crate(Name),
    Table(Name),
    Key(Vec<u8>),
    Rename(Value),
    Unknown(u8),
    Junk(&'a str),
}

/// What stands where a string should.
#[derive(Arbitrary, Debug)]
pub(super) enum Value {
    /// A duration.
    Sum(Vec<(u64, u8)>),
    Small(u8, u8),
    Text(Text),
    Raw(u8),
    /// Passed on by a `macro_rules!`.
    Grouped(Text),
    Wrong(u8),
}

/// What stands after a flag, where nothing may.
#[derive(Arbitrary, Debug)]
pub(super) enum Tail {
    None,
    Wrong(u8),
}

/// What stands where a path or an identifier should.
#[derive(Arbitrary, Debug)]
pub(super) enum Name {
    /// An argument or a module.
    Ident(u8),
    Path(u8),
    Grouped(u8),
    Wrong(u8),
}

const UNITS: [(&str, u64, u64); 7] = [
    ("ns", 0, 1),
    ("us", 0, 1_000),
    ("ms", 0, 1_000_000),
    ("s", 1, 0),
    ("m", 60, 0),
    ("h", 3_600, 0),
    ("days", 86_400, 0),
];

/// As nanoseconds, more than 64 bits hold.
const MUCH: Duration = Duration::from_secs(18_000_000_000);

const NO_STRING: [&str; 20] = [
    "",
    " =",
    " = 45",
    " = 4.5",
    " = true",
    " = 's'",
    " = b\"5s\"",
    " = c\"5s\"",
    " = \"5s\" \"5s\"",
    " = \"5s\"s",
    " = (\"5s\")",
    " = { \"5s\" }",
    " = -\"5s\"",
    " = \"5s\".into()",
    " = concat!(\"5\", \"s\")",
    " = \"5s\" + \"5s\"",
    " = fn",
    "(\"5s\")",
    " == \"5s\"",
    " \"5s\"",
];

const NO_FLAG: [&str; 6] = [" = true", "()", "(true)", " true", " = ", " !"];

/// What names an argument is what names a module.
pub(super) const IDENTS: [&str; 6] = ["a0", "a1", "a2", "r#type", "größe", "nobody"];

const PATHS: [&str; 6] = [
    "locks",
    "::locks::v2",
    "crate::locks",
    "self::super::locks",
    "r#type::locks",
    "größe::locks",
];

const NO_PATH: [&str; 10] = [
    "",
    " =",
    " = 5",
    " = \"a0\"",
    " = a0 a1",
    " = &a0",
    " = (a0)",
    " = ::",
    " == a0",
    "(a0)",
];

const UNKNOWN: [&str; 8] = [
    "time_out = \"5s\"",
    "r#timeout = \"5s\"",
    "timeouts",
    "a::timeout = \"5s\"",
    "Scope",
    "lock(timeout = \"5s\")",
    "\"timeout\"",
    "5",
];

const RAW_STRINGS: [(&str, &str); 4] = [
    ("r\"5s\"", "5s"),
    ("r#\"a\"b\"#", "a\"b"),
    ("\"\\x41\\u{e9}\"", "Aé"),
    ("\"a\\\n   b\"", "ab"),
];

/// The options of a macro, read.
#[derive(Default)]
pub(super) struct Options {
    /// As calls on a builder.
    wait: Option<String>,
    keep_alive: Option<String>,
    /// `None` in it: the method's name.
    pub(super) scope: Option<Option<String>>,
    pub(super) transaction: bool,
    pub(super) conn: Option<&'static str>,
    pub(super) krate: Option<&'static str>,
    pub(super) table: Option<&'static str>,
    pub(super) key: Option<Vec<&'static str>>,
    /// The literal and its value.
    pub(super) rename: Option<(String, String)>,
}

impl Options {
    /// How long to wait and to hold, as calls on a builder.
    pub(super) fn times(&self) -> String {
        let calls = [&self.wait, &self.keep_alive];
        calls.into_iter().flatten().map(String::as_str).collect()
    }

    /// The library's path in the expansion.
    pub(super) fn krate(&self) -> &str {
        self.krate.unwrap_or("::diesel_advisory_lock")
    }

    /// Writes a list of options, of which the macro knows those in `known`, and reads it.
    pub(super) fn write(&mut self, options: &[Opt<'_>], known: &[&str], writer: &mut Writer) {
        for (index, option) in options.iter().enumerate() {
            if index > 0 {
                writer.push(", ");
            }
            let name = option.name();
            writer.refuse_if(!known.contains(&name));
            writer.push(name);
            self.write_one(option, writer);
        }
        if options.len() % 2 == 1 {
            writer.push(",");
        }
    }

    fn write_one(&mut self, option: &Opt<'_>, writer: &mut Writer) {
        match option {
            Opt::Timeout(value) => {
                value.write(writer);
                writer.refuse_if(self.wait.is_some());
                self.wait = Some(value.call("timeout", writer));
            }
            Opt::LongestHold(value) => {
                value.write(writer);
                let call = value.call("keep_alive", writer);
                writer.refuse_if(self.keep_alive.replace(call).is_some());
            }
            Opt::NoWait(tail) => {
                tail.write(writer);
                writer.refuse_if(self.wait.replace(".no_wait()".to_owned()).is_some());
            }
            Opt::WaitForever(tail) => {
                tail.write(writer);
                writer.refuse_if(self.wait.replace(".wait_forever()".to_owned()).is_some());
            }
            Opt::Scope(value) => {
                let value = value.as_ref().filter(|value| !value.is_missing());
                let text = value.and_then(|value| {
                    value.write(writer);
                    value.literal().map(|(literal, _)| literal)
                });
                writer.refuse_if(self.scope.replace(text).is_some());
            }
            Opt::Transaction(tail) => {
                tail.write(writer);
                writer.refuse_if(std::mem::replace(&mut self.transaction, true));
            }
            Opt::Conn(name) => {
                let name = name.write(&IDENTS, writer);
                writer.refuse_if(self.conn.replace(name).is_some());
                writer.refuse_if(name.contains("::"));
            }
            Opt::Crate(name) => {
                let name = name.write(&PATHS, writer);
                writer.refuse_if(self.krate.replace(name).is_some());
            }
            Opt::Table(name) => {
                let name = name.write(&PATHS, writer);
                writer.refuse_if(self.table.replace(name).is_some());
            }
            Opt::Key(fields) => {
                let fields: Vec<_> = fields.iter().map(|field| pick(&IDENTS, *field)).collect();
                writer.push(&format!("({})", fields.join(", ")));
                writer.refuse_if(fields.is_empty());
                writer.refuse_if(self.key.replace(fields).is_some());
            }
            Opt::Rename(value) => {
                value.write(writer);
                let value = value.literal().unwrap_or_default();
                writer.refuse_if(self.rename.replace(value).is_some());
            }
            Opt::Unknown(number) => {
                writer.push(pick(&UNKNOWN, *number));
                writer.refuse_if(true);
            }
            Opt::Junk(text) => {
                writer.push(text);
                writer.open_if(true);
            }
        }
    }
}

impl Opt<'_> {
    fn name(&self) -> &'static str {
        match self {
            Opt::Timeout(_) => "timeout",
            Opt::LongestHold(_) => "keep_alive",
            Opt::NoWait(_) => "no_wait",
            Opt::WaitForever(_) => "wait_forever",
            Opt::Scope(_) => "scope",
            Opt::Transaction(_) => "transaction",
            Opt::Conn(_) => "conn",
            Opt::Crate(_) => "crate",
            Opt::Table(_) => "table",
            Opt::Key(_) => "key",
            Opt::Rename(_) => "rename",
            Opt::Unknown(_) | Opt::Junk(_) => "",
        }
    }
}

impl Value {
    fn write(&self, writer: &mut Writer) {
        match (self, self.literal()) {
            (Value::Wrong(number), _) => {
                writer.push(pick(&NO_STRING, *number));
                writer.refuse_if(true);
            }
            (Value::Grouped(_), Some((literal, _))) => {
                writer.push(&format!(" = none_group!({literal})"));
            }
            (_, Some((literal, _))) => writer.push(&format!(" = {literal}")),
            (_, None) => {}
        }
    }

    /// Nothing at all, which is right after `scope`.
    fn is_missing(&self) -> bool {
        matches!(self, Value::Wrong(number) if pick(&NO_STRING, *number).is_empty())
    }

    /// As it is written, and its value.
    fn literal(&self) -> Option<(String, String)> {
        let value = match self {
            Value::Sum(summands) => summands
                .iter()
                .map(|(number, unit)| format!("{number}{}", pick(&UNITS, *unit).0))
                .collect::<Vec<_>>()
                .join(" "),
            Value::Small(number, unit) => format!("{number}{}", pick(&UNITS, *unit).0),
            Value::Text(text) | Value::Grouped(text) => text.0.clone(),
            Value::Raw(number) => {
                let (literal, value) = pick(&RAW_STRINGS, *number);
                return Some((literal.to_owned(), value.to_owned()));
            }
            Value::Wrong(_) => return None,
        };
        Some((format!("{value:?}"), value))
    }

    /// The call on a builder, if this is a duration.
    fn call(&self, method: &str, writer: &mut Writer) -> String {
        let time = match self {
            Value::Sum(summands) => {
                writer.refuse_if(summands.is_empty());
                let time = sum(summands);
                writer.refuse_if(time.is_none());
                // How many nanoseconds a summand may have is not said.
                writer.open_if(
                    summands
                        .iter()
                        .any(|summand| sum(&[*summand]).is_some_and(|time| time > MUCH)),
                );
                time
            }
            Value::Small(number, unit) => sum(&[(u64::from(*number), *unit)]),
            Value::Raw(0) => Some(Duration::from_secs(5)),
            Value::Wrong(_) => None,
            Value::Text(_) | Value::Grouped(_) | Value::Raw(_) => {
                let text = self.literal().unwrap_or_default().1;
                let is_number = text.bytes().any(|byte| byte.is_ascii_digit());
                writer.refuse_if(!is_number);
                writer.open_if(is_number);
                None
            }
        };
        let time = time.unwrap_or_default();
        format!(
            ".{method}(::core::time::Duration::new({}u64, {}u32))",
            time.as_secs(),
            time.subsec_nanos()
        )
    }
}

fn sum(summands: &[(u64, u8)]) -> Option<Duration> {
    summands
        .iter()
        .try_fold(Duration::ZERO, |sum, (number, unit)| {
            let (_, seconds, nanoseconds) = pick(&UNITS, *unit);
            let seconds = number.checked_mul(seconds)?;
            let nanoseconds = u128::from(*number) * u128::from(nanoseconds);
            let whole = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
            let rest = (nanoseconds % 1_000_000_000) as u32;
            sum.checked_add(Duration::new(seconds.checked_add(whole)?, rest))
        })
}

impl Tail {
    fn write(&self, writer: &mut Writer) {
        if let Tail::Wrong(number) = self {
            writer.push(pick(&NO_FLAG, *number));
            writer.refuse_if(true);
        }
    }
}

impl Name {
    fn write(&self, paths: &'static [&'static str], writer: &mut Writer) -> &'static str {
        let name = match self {
            Name::Ident(number) => pick(&IDENTS, *number),
            Name::Path(number) => pick(paths, *number),
            Name::Grouped(number) => {
                let name = pick(&IDENTS, *number);
                writer.push(&format!(" = none_group!({name})"));
                return name;
            }
            Name::Wrong(number) => {
                writer.push(pick(&NO_PATH, *number));
                writer.refuse_if(true);
                return "";
            }
        };
        writer.push(&format!(" = {name}"));
        name
    }
}
