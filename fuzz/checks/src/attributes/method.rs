//! Methods under `#[locked]`.

use arbitrary::Arbitrary;

use super::expected::{Writer, pick};
use super::option::{IDENTS, Opt, Options};

/// A method, or what somebody took for one; the numbers are places in the tables below.
#[derive(Arbitrary, Debug)]
pub(super) struct Method<'a> {
    shape: Shape,
    before: u8,
    qualifiers: u8,
    name: u8,
    generics: u8,
    receiver: u8,
    arguments: Vec<(u8, u8)>,
    output: u8,
    body: u8,
    options: Vec<Opt<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Shape {
    Method,
    /// Right but for the options: what a fuzzer that knows no Rust seldom finds.
    Usual,
    Other(u8),
}

const OPTIONS: [&str; 8] = [
    "timeout",
    "no_wait",
    "wait_forever",
    "keep_alive",
    "scope",
    "transaction",
    "conn",
    "crate",
];

const BEFORE: [&str; 8] = [
    "",
    "pub ",
    "pub(crate) ",
    "pub(in a::b) ",
    "/// Sends.\n",
    "#[inline] #[allow(dead_code)] ",
    "#[cfg(unix)] #[must_use = \"why\"] pub ",
    "none_group!() ",
];

/// What stands before `fn`, and whether it may.
const QUALIFIERS: [(&str, bool); 7] = [
    ("", true),
    ("unsafe ", true),
    ("extern \"C\" ", true),
    ("default ", true),
    ("async ", false),
    ("const ", false),
    ("const unsafe ", false),
];

/// With what a scope without a value is called.
const NAMES: [(&str, &str); 4] = [
    ("send", "send"),
    ("r#type", "type"),
    ("größe", "größe"),
    ("_1", "_1"),
];

const GENERICS: [(&str, &str); 6] = [
    ("", ""),
    ("<'a>", ""),
    ("<T>", " where T: Display"),
    ("<'a, 'b: 'a, T: Into<String> + 'a, const N: usize>", ""),
    ("<>", " where"),
    ("", " where Self: Sized"),
];

#[derive(Clone, Copy)]
enum Self_ {
    Changed,
    Copied,
    Wrong,
}

const RECEIVERS: [(&str, Self_); 14] = [
    ("&mut self", Self_::Changed),
    ("&self", Self_::Copied),
    ("&'a mut self", Self_::Changed),
    ("&'a self", Self_::Copied),
    ("self: &mut Self", Self_::Changed),
    ("self: &Self", Self_::Copied),
    ("#[allow(unused)] &self", Self_::Copied),
    ("self: none_group!(&mut Self)", Self_::Changed),
    ("self: none_group!(&Self)", Self_::Copied),
    ("self", Self_::Wrong),
    ("mut self", Self_::Wrong),
    ("self: Box<Self>", Self_::Wrong),
    ("self: Pin<&mut Self>", Self_::Wrong),
    ("", Self_::Wrong),
];

#[derive(Clone, Copy, PartialEq)]
enum Pattern {
    Plain,
    /// Has a name, but is no place that the connection could be taken from again.
    Bound,
    Nameless,
}

/// A pattern, `$` for the argument's name.
const PATTERNS: [(&str, Pattern); 10] = [
    ("$", Pattern::Plain),
    ("$", Pattern::Plain),
    ("mut $", Pattern::Plain),
    ("none_group!($)", Pattern::Plain),
    ("ref $", Pattern::Bound),
    ("$ @ _", Pattern::Bound),
    ("_", Pattern::Nameless),
    ("($, b)", Pattern::Nameless),
    ("Point { x: $, .. }", Pattern::Nameless),
    ("[$, ..]", Pattern::Nameless),
];

#[derive(Clone, Copy)]
enum Type {
    Connection,
    Mutable,
    Other,
}

const TYPES: [(&str, Type); 19] = [
    ("&mut MysqlConnection", Type::Connection),
    ("&mut MysqlConnection", Type::Connection),
    ("&'a mut diesel::MysqlConnection", Type::Connection),
    (
        "&mut PooledConnection<ConnectionManager<MysqlConnection>>",
        Type::Connection,
    ),
    ("&mut LockGuard<'_, MysqlConnection>", Type::Connection),
    ("&mut PooledLockGuard<MysqlConnection>", Type::Connection),
    ("&mut impl LockSource", Type::Connection),
    (
        "&mut (impl LockSource<Connection = MysqlConnection> + 'a)",
        Type::Mutable,
    ),
    ("&mut impl LockConnection", Type::Connection),
    ("none_group!(&mut MysqlConnection)", Type::Connection),
    ("&mut none_group!(MysqlConnection)", Type::Connection),
    ("&mut C", Type::Mutable),
    ("&mut [u8]", Type::Mutable),
    ("&MysqlConnection", Type::Other),
    ("MysqlConnection", Type::Other),
    ("impl FnOnce(&mut MysqlConnection) -> bool", Type::Other),
    ("i32", Type::Other),
    ("<T as U>::V", Type::Other),
    ("fn(&str) -> !", Type::Other),
];

/// What is returned, and whether it may be a `Result`.
const OUTPUTS: [(&str, bool); 14] = [
    ("-> QueryResult<()>", true),
    ("-> Result<(), LockError>", true),
    (
        "-> ::core::result::Result<&'a str, Box<dyn Error + 'a>>",
        true,
    ),
    ("-> QueryResult<impl Iterator<Item = u8> + use<>>", true),
    ("-> Self::Output", true),
    ("-> none_group!(QueryResult<()>)", true),
    ("-> result!()", true),
    ("", false),
    ("-> ()", false),
    ("-> (QueryResult<()>, bool)", false),
    ("-> !", false),
    ("-> &'a str", false),
    ("-> impl Display", false),
    ("-> none_group!(())", false),
];

/// A body, and whether it is one.
const BODIES: [(&str, bool); 6] = [
    ("{}", true),
    ("{ Ok(()) }", true),
    (
        "{ let x = self.x?; return x.y(|z| async { z })?.await; }",
        true,
    ),
    (
        "{ #![allow(unused)] fn f() { unimplemented!() } 'a: loop { break 'a } }",
        true,
    ),
    ("{ none_group!(1 + 1) }", true),
    (";", false),
];

const OTHERS: [&str; 10] = [
    "struct Notification { id: i32 }",
    "enum Region { Europe }",
    "impl Notification { fn send(&mut self, a0: &mut MysqlConnection) -> QueryResult<()> {} }",
    "trait Send { fn send(&mut self); }",
    "mod a {}",
    "const A: u8 = 1;",
    "type A = B;",
    "use a::b;",
    "static A: u8 = 1;",
    "macro_rules! a { () => {} }",
];

impl Method<'_> {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.push("#[locked(");
        let mut options = Options::default();
        options.write(&self.options, &OPTIONS, writer);
        writer.push(")] ");
        match self.shape {
            Shape::Method => self.write_method(&options, writer),
            Shape::Usual => {
                let usual = Method {
                    shape: Shape::Method,
                    qualifiers: 0,
                    receiver: self.receiver % 2,
                    arguments: vec![(0, 0)],
                    output: 0,
                    body: 0,
                    options: Vec::new(),
                    ..*self
                };
                usual.write_method(&options, writer);
            }
            Shape::Other(number) => {
                writer.push(pick(&OTHERS, number));
                writer.refuse_if(true);
            }
        }
    }

    fn write_method(&self, options: &Options, writer: &mut Writer) {
        let (qualifiers, is_plain) = pick(&QUALIFIERS, self.qualifiers);
        let (name, scope) = pick(&NAMES, self.name);
        let (generics, bounds) = pick(&GENERICS, self.generics);
        let (receiver, self_) = pick(&RECEIVERS, self.receiver);
        let (output, is_result) = pick(&OUTPUTS, self.output);
        let (body, is_body) = pick(&BODIES, self.body);
        let before = pick(&BEFORE, self.before);

        writer.push(&format!(
            "{before}{qualifiers}fn {name}{generics}({receiver}"
        ));
        let mut arguments = Vec::new();
        for (index, (pattern, type_)) in self.arguments.iter().take(5).enumerate() {
            if index > 0 || !receiver.is_empty() {
                writer.push(", ");
            }
            let (pattern, kind) = pick(&PATTERNS, *pattern);
            let (text, type_) = pick(&TYPES, *type_);
            let name = IDENTS[index];
            writer.push(&format!("{}: {text}", pattern.replace('$', name)));
            if kind != Pattern::Nameless {
                arguments.push((name, type_, kind));
            }
        }
        writer.push(&format!(") {output}{bounds} {body}"));

        writer.refuse_if(!is_plain || !is_result || !is_body);
        writer.refuse_if(matches!(self_, Self_::Wrong));
        let conn = connection(&arguments, options);
        writer.refuse_if(conn.is_none());
        let Some(conn) = conn else {
            return;
        };

        let scope = match &options.scope {
            None => String::new(),
            Some(None) => format!(".scope({scope:?})"),
            Some(Some(literal)) => format!(".scope({literal})"),
        };
        let (krate, transaction) = (options.krate(), options.transaction);
        let request = format!(
            ".policy({krate}::__private::PolicyOf:: <Self> ::LOCK_POLICY){}{scope}",
            options.times()
        );
        match self_ {
            Self_::Changed => writer.expect(format!(
                "{krate}::__private::enter({krate}::Lockable::lock(&mut *self){request}, source, {transaction},)"
            )),
            _ => writer.expect(format!(
                "{krate}::__private::enter_with_copy({krate}::Lockable::lock_name(self).lock(){request}, \
                 self, &mut *{conn}, {transaction},)"
            )),
        }
        if let Self_::Changed = self_ {
            writer.expect(format!("source = &mut *{conn};"));
        }
    }
}

/// The argument that the lock is taken on: what is named, or else the only one that looks like it.
fn connection<'a>(arguments: &[(&'a str, Type, Pattern)], options: &Options) -> Option<&'a str> {
    let found = match options.conn {
        Some(name) => arguments
            .iter()
            .find(|(argument, ..)| *argument == name)
            .filter(|(_, type_, _)| !matches!(type_, Type::Other)),
        None => {
            let mut all = arguments
                .iter()
                .filter(|(_, type_, _)| matches!(type_, Type::Connection));
            all.next().filter(|_| all.next().is_none())
        }
    };
    found
        .filter(|(.., kind)| *kind == Pattern::Plain)
        .map(|(argument, ..)| *argument)
}
