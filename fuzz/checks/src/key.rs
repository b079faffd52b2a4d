//! Keys of several types: a row has one name, whatever the type of a key with the same text.

use std::fmt;

use arbitrary::Arbitrary;
use diesel_advisory_lock::{KeyParts, LockKey};

use crate::object::Table;
use crate::text::text;

/// A key of as many columns as there are parts.
pub(crate) struct Key(pub(crate) Vec<Part>);

/// A column's value.
#[derive(Arbitrary, Debug)]
pub(crate) enum Part {
    Text(#[arbitrary(with = text)] String),
    /// Written through `Display`, one character at a time.
    Displayed(#[arbitrary(with = text)] String),
    Bytes(Vec<u8>),
    Bool(bool),
    I8(i8),
    U16(u16),
    I32(i32),
    U64(u64),
    I128(i128),
    U128(u128),
}

pub(crate) fn check(table: &Table, first: Part, more: Vec<Part>) {
    let mut key = Key(vec![first]);
    key.0.extend(more);
    let texts: Vec<String> = key.0.iter().map(Part::text).collect();
    let name = table.row(&key);
    let of_texts = table.row(&Key::of_texts(&texts));
    assert_eq!(name, of_texts, "{:?}", key.0);
    assert_eq!(name.full_name("a"), of_texts.full_name("a"), "{:?}", key.0);

    let widened = table.row(&Key(key.0.iter().map(Part::widened).collect()));
    assert_eq!(name, widened, "{:?}", key.0);
}

impl Key {
    pub(crate) fn of_texts(texts: &[String]) -> Self {
        Key(texts.iter().cloned().map(Part::Text).collect())
    }
}

impl LockKey for Key {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        for part in &self.0 {
            part.write_parts(parts);
        }
    }
}

impl LockKey for Part {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        match self {
            Part::Text(text) => text.write_parts(parts),
            Part::Displayed(text) => parts.display(CharByChar(text)),
            Part::Bytes(bytes) => bytes.write_parts(parts),
            Part::Bool(bool) => bool.write_parts(parts),
            Part::I8(integer) => integer.write_parts(parts),
            Part::U16(integer) => integer.write_parts(parts),
            Part::I32(integer) => integer.write_parts(parts),
            Part::U64(integer) => integer.write_parts(parts),
            Part::I128(integer) => integer.write_parts(parts),
            Part::U128(integer) => integer.write_parts(parts),
        }
    }
}

impl Part {
    fn text(&self) -> String {
        match self {
            Part::Text(text) | Part::Displayed(text) => text.clone(),
            Part::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Part::Bool(bool) => u8::from(*bool).to_string(),
            Part::I8(integer) => integer.to_string(),
            Part::U16(integer) => integer.to_string(),
            Part::I32(integer) => integer.to_string(),
            Part::U64(integer) => integer.to_string(),
            Part::I128(integer) => integer.to_string(),
            Part::U128(integer) => integer.to_string(),
        }
    }

    /// The same value as a wider integer, or as text if there is none.
    fn widened(&self) -> Part {
        match *self {
            Part::I8(integer) => Part::I32(integer.into()),
            Part::U16(integer) => Part::U64(integer.into()),
            Part::I32(integer) => Part::I128(integer.into()),
            Part::U64(integer) => Part::U128(integer.into()),
            _ => Part::Text(self.text()),
        }
    }
}

/// Calls `write` once for each character, however short the text.
struct CharByChar<'t>(&'t str);

impl fmt::Display for CharByChar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| write!(f, "{char}"))
    }
}
