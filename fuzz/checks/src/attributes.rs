//! The macros: whatever is written, they give items or one error that has a place, and they never panic.

use std::borrow::Cow;

use arbitrary::{Arbitrary, Unstructured};
use syn::DeriveInput;

use crate::{lock_key, lockable, locked};

mod enumeration;
mod expansion;
mod expected;
mod method;
mod model;
mod option;
mod source;

use expected::{Expected, Writer};
use source::{Macro, Source};

/// What the fuzzer chooses; what starts with a `#` is source text, for which nothing is expected.
#[derive(Arbitrary, Debug)]
struct Generated<'a> {
    item: Item<'a>,
    splices: Vec<Splice<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Item<'a> {
    Method(method::Method<'a>),
    Model(model::Model<'a>),
    Key(enumeration::Key<'a>),
}

/// Text that is put in somewhere.
#[derive(Arbitrary, Debug)]
struct Splice<'a> {
    at: u16,
    cut: u8,
    text: &'a str,
}

pub fn check(data: &[u8]) {
    let Some((text, expected)) = written(data) else {
        return;
    };
    if let Some(source) = Source::read(&text) {
        expand(&source, &expected, &text);
    }
    // Every text that is lexed is kept for its spans, of which there are none now.
    proc_macro2::extra::invalidate_current_thread_spans();
}

fn written(data: &[u8]) -> Option<(Cow<'_, str>, Expected)> {
    if data.starts_with(b"#") {
        return Some((String::from_utf8_lossy(data), Expected::Anything));
    }
    let generated = Generated::arbitrary_take_rest(Unstructured::new(data)).ok()?;
    let mut writer = Writer::default();
    match &generated.item {
        Item::Method(method) => method.write(&mut writer),
        Item::Model(model) => model.write(&mut writer),
        Item::Key(key) => key.write(&mut writer),
    }
    for Splice { at, cut, text } in &generated.splices {
        writer.splice(usize::from(*at), usize::from(*cut % 16), text);
    }
    let (text, expected) = writer.finish();
    Some((text.into(), expected))
}

fn expand(source: &Source, expected: &Expected, text: &str) {
    let item = source.item.clone();
    match source.which {
        Macro::Locked => {
            let expansion = locked::expand(source.attribute.clone(), item);
            expansion::of_method(source, &expansion, expected, text);
        }
        // The compiler hands on nothing but structs, enums and unions.
        Macro::Lockable => {
            if let Ok(input) = syn::parse2::<DeriveInput>(item) {
                expansion::of_type(source, &lockable::expand(&input), expected, text);
            }
        }
        Macro::LockKey => {
            if let Ok(input) = syn::parse2::<DeriveInput>(item) {
                expansion::of_type(source, &lock_key::expand(&input), expected, text);
            }
        }
    }
}
