//! Keys under `#[derive(LockKey)]`: enums above all, whose variants have options.

use arbitrary::Arbitrary;

use super::expected::{Writer, pick};
use super::model::STRAY;
use super::option::{Opt, Options};

#[derive(Arbitrary, Debug)]
pub(super) struct Key<'a> {
    attributes: Vec<Vec<Opt<'a>>>,
    stray: Option<u8>,
    shape: Shape<'a>,
}

#[derive(Arbitrary, Debug)]
enum Shape<'a> {
    Enum(Vec<Variant<'a>>),
    Other(u8),
}

#[derive(Arbitrary, Debug)]
struct Variant<'a> {
    name: u8,
    fields: u8,
    attributes: Vec<Vec<Opt<'a>>>,
}

/// With the identifier that it is.
const VARIANTS: [(&str, &str); 6] = [
    ("Europe", "Europe"),
    ("Asia", "Asia"),
    ("r#Asia", "Asia"),
    ("r#type", "type"),
    ("Größe", "Größe"),
    ("A", "A"),
];

/// What stands after a variant's name, and whether it may.
const FIELDS: [(&str, bool); 6] = [
    ("", true),
    ("", true),
    (" = 1", true),
    ("(i32)", false),
    ("()", false),
    (" { a: i32 }", false),
];

/// Other shapes, and how the key is handed on, if it is.
const OTHERS: [(&str, Option<&str>); 10] = [
    ("struct Id(i64);", Some("write_parts(&self.0, parts)")),
    (
        "pub struct Id<'a, T: ?Sized>(pub &'a T) where T: LockKey;",
        Some("write_parts(&self.0, parts)"),
    ),
    (
        "struct Id { number: i64 }",
        Some("write_parts(&self.number, parts)"),
    ),
    (
        "struct Id { r#type: i64 }",
        Some("write_parts(&self.r#type, parts)"),
    ),
    (
        "struct Id<const N: usize>(none_group!([u8; N]));",
        Some("write_parts(&self.0, parts)"),
    ),
    ("struct Id(#[lock(rename = \"a\")] i64);", None),
    ("struct Id(i64, i64);", None),
    ("struct Id;", None),
    ("struct Id {}", None),
    ("union Id { a: i64 }", None),
];

impl Key<'_> {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.push("#[derive(LockKey)] ");
        if let Some(stray) = self.stray {
            writer.push(pick(&STRAY, stray));
            writer.refuse_if(true);
        }
        let mut options = Options::default();
        for attribute in &self.attributes {
            writer.push("#[lock(");
            options.write(attribute, &["crate"], writer);
            writer.push(")] ");
        }
        writer.expect(format!("{}::LockKey for ", options.krate()));
        match &self.shape {
            Shape::Enum(variants) => {
                writer.push("enum Region { ");
                let mut texts = Vec::new();
                for variant in variants {
                    let text = variant.write(writer);
                    writer.refuse_if(texts.contains(&text));
                    texts.push(text);
                    writer.push(", ");
                }
                writer.push("}");
                writer.refuse_if(variants.is_empty());
            }
            Shape::Other(number) => {
                let (item, handed_on) = pick(&OTHERS, *number);
                writer.push(item);
                match handed_on {
                    Some(call) => writer.expect(format!("{}::LockKey::{call}", options.krate())),
                    None => writer.refuse_if(true),
                }
            }
        }
    }
}

impl Variant<'_> {
    /// Gives the variant's text.
    fn write(&self, writer: &mut Writer) -> String {
        let mut options = Options::default();
        for attribute in &self.attributes {
            writer.push("#[lock(");
            options.write(attribute, &["rename"], writer);
            writer.push(")] ");
        }
        let (name, text) = pick(&VARIANTS, self.name);
        let (fields, is_plain) = pick(&FIELDS, self.fields);
        writer.push(&format!("{name}{fields}"));
        writer.refuse_if(!is_plain);
        let (literal, text) = options
            .rename
            .unwrap_or_else(|| (format!("{text:?}"), text.to_owned()));
        writer.expect(format!("Self::{name} => {literal},"));
        text
    }
}
