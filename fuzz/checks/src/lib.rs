//! Properties of lock names, checked for inputs that are decoded from bytes.
//!
//! Which name an object has is checked elsewhere: `tests/lock_names.rs` compares the crate with
//! `docs/lock-names.py`.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use arbitrary::{Arbitrary, Unstructured};
use diesel_advisory_lock::LockName;
use diesel_advisory_lock::inspect::{LockedObject, ParsedLockName};

mod exact;
mod key;
mod neighbours;
mod object;
mod text;

use key::Part;
use object::{Kind, Object, Table};
use text::{optional_text, text};

/// What the bytes decode to.
#[derive(Arbitrary, Debug)]
enum Input {
    Objects {
        objects: [Object; 2],
        #[arbitrary(with = optional_text)]
        replaced: Option<String>,
        #[arbitrary(with = text)]
        schema: String,
    },
    Key(Table, Part, Vec<Part>),
    Exact(#[arbitrary(with = text)] String),
}

/// Decodes `data` and checks the names that it describes.
///
/// # Panics
///
/// If a name does not have a property that all names must have.
pub fn check_lock_names(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    match input {
        Input::Exact(text) => exact::check(&text),
        Input::Key(table, first, more) => key::check(&table, first, more),
        Input::Objects {
            objects,
            replaced,
            schema,
        } => {
            let mut names = Vec::new();
            for object in objects {
                let name = object.name();
                check_options(&object, &name, replaced.as_deref());
                names.extend(neighbours::of(&object, &name).map(|near| {
                    let name = near.name();
                    (near, name)
                }));
                names.push((object, name));
            }
            for (object, name) in &names {
                check_format(object, name, &schema);
                check_parse(object, name, &schema);
            }
            check_pairs(&names);
        }
    }
}

/// The last scope and the last namespace count, in any order, on the name and on its `Lock`.
fn check_options(object: &Object, name: &LockName, replaced: Option<&str>) {
    let (scope, namespace) = (object.scope.as_deref(), object.namespace.as_deref());
    let mut other = object.without_options().name();
    if let Some(replaced) = replaced {
        if scope.is_some() {
            other = other.scope(replaced);
        }
        if namespace.is_some() {
            other = other.namespace(replaced);
        }
    }
    let mut lock = other.lock();
    if let Some(scope) = scope {
        other = other.scope(scope);
        lock = lock.scope(scope);
    }
    if let Some(namespace) = namespace {
        other = other.namespace(namespace);
        lock = lock.namespace(namespace);
    }
    assert_eq!(&other, name, "{object:?}");
    assert_eq!(other.full_name("a"), name.full_name("a"), "{object:?}");
    assert_eq!(lock.names(), [other], "{object:?}");
}

/// `<8 hex>/<name>`, of at most 64 characters of the alphabet, and the same in every form.
fn check_format(object: &Object, name: &LockName, schema: &str) {
    let full_name = name.full_name(schema);
    assert!(full_name.len() <= 64, "too long: {full_name:?}");
    let (prefix, shown) = full_name.split_once('/').expect("a slash");
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(
        prefix.len() == 8 && prefix.bytes().all(is_hex),
        "no prefix: {full_name:?}"
    );
    let is_allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.,:#*=~-".contains(&byte)
    };
    assert!(
        !shown.is_empty() && shown.bytes().all(is_allowed),
        "a character outside the alphabet: {full_name:?}"
    );

    // The key depends on nothing but the full name.
    let exact = LockName::exact(&full_name).expect("a name that all servers accept");
    let key = name.postgres_key(schema);
    assert_eq!(exact.postgres_key(""), key, "{object:?}");
    let exact_key = LockName::exact_key(key);
    assert_eq!(exact_key.postgres_key(schema), key);
    assert_eq!(exact_key.to_string(), key.to_string());
    assert!(exact_key != exact && exact_key != *name, "{object:?}");

    assert_eq!(name.to_string(), shown, "{object:?}");
    let debug = match object.known_namespace() {
        Some(_) => format!("LockName({full_name:?})"),
        None => format!("LockName({:?})", format!("<schema>/{shown}")),
    };
    assert_eq!(format!("{name:?}"), debug, "{object:?}");
}

/// A name that is not hashed parses to the object that it was made from.
fn check_parse(object: &Object, name: &LockName, schema: &str) {
    let full_name = name.full_name(schema);
    let parsed = ParsedLockName::parse(&full_name).expect("a name of this crate");
    assert_eq!(parsed.as_str(), full_name);
    assert!(
        parsed.is_in(object.known_namespace().unwrap_or(schema)),
        "{object:?}"
    );
    let expected = match (parsed.subject(), object.kind.clone()) {
        (LockedObject::Hashed { resembles }, _) => {
            assert!(
                full_name.contains('~') && resembles.len() <= 28,
                "{full_name:?}"
            );
            assert_eq!(parsed.scope(), None);
            return;
        }
        (_, Kind::Row(table, key)) => LockedObject::Row {
            table: table.name,
            key,
        },
        (_, Kind::Table(table)) => LockedObject::Table { table: table.name },
        (_, Kind::Named(name)) => LockedObject::Named { name },
    };
    assert_eq!(parsed.subject(), &expected);
    assert_eq!(parsed.scope(), object.scope.as_deref());
}

/// Names are equal exactly if they are of the same object in the same namespace. Without the
/// namespace, they are written alike exactly if they are of the same object.
fn check_pairs(names: &[(Object, LockName)]) {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    for (index, (left, left_name)) in names.iter().enumerate() {
        for (right, right_name) in &names[..index] {
            let same_object = left.identity() == right.identity();
            let same = same_object && left.known_namespace() == right.known_namespace();
            assert_eq!(left_name == right_name, same, "{left:?}\n{right:?}");
            assert_eq!(
                left_name.to_string() == right_name.to_string(),
                same_object,
                "{left:?}\n{right:?}"
            );
            let keys = [left_name, right_name].map(|name| name.postgres_key("a"));
            let names = [left_name, right_name].map(|name| name.full_name("a"));
            assert_eq!(
                keys[0] == keys[1],
                names[0] == names[1],
                "{left:?}\n{right:?}"
            );
            if same {
                assert_eq!(left_name.full_name("a"), right_name.full_name("a"));
                assert_eq!(hasher.hash_one(left_name), hasher.hash_one(right_name));
            }
        }
    }
}
