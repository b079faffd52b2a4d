//! The written name once more, from `docs/lock-names.md` alone: the whole of a name at once, where the
//! crate writes component by component.

use sha2::{Digest, Sha256};

use super::subject::{LockedObject, Of};

/// What stands before the slash.
pub(super) fn prefix(subject: &LockedObject, schema: &str) -> String {
    let namespace = subject.effective_namespace().unwrap_or(schema);
    let digest = Sha256::digest(namespace);
    digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What stands after it.
pub(super) fn name(subject: &LockedObject) -> String {
    let readable = readable(subject);
    let components = components(subject);
    if components.iter().all(|component| plain(component)) && readable.chars().count() <= 55 {
        return readable;
    }
    let slug: String = readable
        .chars()
        .map(|char| char.to_ascii_lowercase())
        .map(|char| {
            if plain(char.encode_utf8(&mut [0; 4])) {
                char
            } else {
                '-'
            }
        })
        .take(28)
        .collect();
    let digest = Sha256::digest(hashed(subject, &components));
    slug + "~" + &base32(u128::from_be_bytes(std::array::from_fn(|at| digest[at])))
}

fn readable(subject: &LockedObject) -> String {
    let table = subject.table().map(|table| table.name).unwrap_or_default();
    let unscoped = match &subject.of {
        Of::Row(_, key) => format!("{table}:{}", key.join(",")),
        Of::Table(_) => format!("{table}:*"),
        Of::Named(text) => format!("={text}"),
    };
    match &subject.scope {
        Some(scope) => format!("{unscoped}#{scope}"),
        None => unscoped,
    }
}

/// In the order in which they are hashed.
fn components(subject: &LockedObject) -> Vec<&str> {
    let table = subject.table().map(|table| table.name);
    let own: &[String] = match &subject.of {
        Of::Row(_, key) => key,
        Of::Table(_) => &[],
        Of::Named(text) => std::slice::from_ref(text),
    };
    table
        .into_iter()
        .chain(own.iter().map(String::as_str))
        .chain(subject.scope.as_deref())
        .collect()
}

fn plain(component: &str) -> bool {
    component
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte))
        && !component.is_empty()
}

fn hashed(subject: &LockedObject, components: &[&str]) -> Vec<u8> {
    let kind = match subject.of {
        Of::Row(..) => b'r',
        Of::Table(_) => b't',
        Of::Named(_) => b'n',
    };
    let mut bytes = vec![kind];
    for (index, component) in components.iter().enumerate() {
        if subject.scope.is_some() && index + 1 == components.len() {
            bytes.push(b'#');
        }
        bytes.extend((component.len() as u64).to_le_bytes());
        bytes.extend(component.bytes());
    }
    bytes
}

/// RFC 4648: five bits a character from the front, the last padded with zeros to 130 bits.
fn base32(number: u128) -> String {
    (0..26)
        .map(|index| {
            let five = match 123_u32.checked_sub(5 * index) {
                Some(shift) => (number >> shift) & 31,
                None => (number << 2) & 31,
            };
            char::from(b"abcdefghijklmnopqrstuvwxyz234567"[five as usize])
        })
        .collect()
}
