//! Structs under `#[derive(Lockable)]`.

use arbitrary::Arbitrary;

use super::expected::{Writer, pick};
use super::option::{IDENTS, Opt, Options};

#[derive(Arbitrary, Debug)]
pub(super) struct Model<'a> {
    visibility: u8,
    generics: u8,
    shape: Shape,
    attributes: Vec<Vec<Opt<'a>>>,
    stray: Option<u8>,
}

#[derive(Arbitrary, Debug)]
enum Shape {
    Named(Vec<u8>),
    Tuple,
    Unit,
    Wrong(u8),
}

const OPTIONS: [&str; 7] = [
    "timeout",
    "no_wait",
    "wait_forever",
    "keep_alive",
    "table",
    "key",
    "crate",
];

const VISIBILITIES: [&str; 4] = ["", "pub ", "pub(crate) ", "#[diesel(table_name = a)] pub "];

const GENERICS: [(&str, &str); 4] = [
    ("", ""),
    ("<'a>", " where Self: 'a"),
    ("<'a, T: LockKey = i64, const N: usize = 1>", ""),
    ("<T>", " where T: LockKey,"),
];

const NO_STRUCTS: [&str; 3] = [
    "enum Region { Europe }",
    "enum Empty {}",
    "union Both { a0: i32, a1: u8 }",
];

/// Forms of the attribute that are none.
pub(super) const STRAY: [&str; 5] = [
    "#[lock] ",
    "#[lock = \"5s\"] ",
    "#[lock(,)] ",
    "#[lock(timeout = \"5s\" no_wait)] ",
    "#[lock(timeout)] ",
];

impl Model<'_> {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.push("#[derive(Lockable)] ");
        if let Some(stray) = self.stray {
            writer.push(pick(&STRAY, stray));
            writer.refuse_if(true);
        }
        let mut options = Options::default();
        for attribute in &self.attributes {
            writer.push("#[lock(");
            options.write(attribute, &OPTIONS, writer);
            writer.push(")] ");
        }
        let fields = self.write_item(writer);

        writer.refuse_if(options.table.is_some() != options.key.is_some());
        writer.expect(format!(
            "{0}::LockPolicy = {0}::LockPolicy::new(){1};",
            options.krate(),
            options.times()
        ));
        if options.table.is_none() && options.key.is_none() {
            expect_methods(&options, writer);
        }
        if let (Some(table), Some(key)) = (options.table, &options.key) {
            writer.refuse_if(key.iter().any(|field| !fields.contains(field)));
            let parts: String = key.iter().map(|field| format!("&self.{field}, ")).collect();
            writer.expect(format!(
                "{}::LockName::row({table}::table, ({parts}))",
                options.krate()
            ));
        }
    }

    /// Gives the fields' names.
    fn write_item(&self, writer: &mut Writer) -> Vec<&'static str> {
        let (generics, bounds) = pick(&GENERICS, self.generics);
        let head = format!(
            "{}struct Model{generics}",
            pick(&VISIBILITIES, self.visibility)
        );
        match &self.shape {
            Shape::Named(fields) => {
                let names: Vec<_> = fields.iter().map(|field| pick(&IDENTS, *field)).collect();
                let fields: String = names.iter().map(|name| format!("{name}: i32, ")).collect();
                writer.push(&format!("{head}{bounds} {{ {fields}}}"));
                return names;
            }
            Shape::Tuple => writer.push(&format!("{head}(pub i32, #[lock] String){bounds};")),
            Shape::Unit => writer.push(&format!("{head}{bounds};")),
            Shape::Wrong(number) => {
                writer.push(pick(&NO_STRUCTS, *number));
                writer.refuse_if(true);
            }
        }
        Vec::new()
    }
}

/// `with_lock` and `try_with_lock`.
fn expect_methods(options: &Options, writer: &mut Writer) {
    let krate = options.krate();
    for (name, run) in [("with_lock", "run"), ("try_with_lock", "try_run")] {
        writer.expect(format!("fn {name}<LockS, LockR, LockE>"));
        writer.expect(format!(
            "LockS: {krate}::LockSource, LockE: {krate}::FromLockError, {{ {krate}::LockDsl::{run}(self.lock(), conn, body) }}"
        ));
    }
}
