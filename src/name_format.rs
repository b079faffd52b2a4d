//! Version 1 of the name format, which is everything after the slash. It is frozen: it is specified
//! in `docs/lock-names.md`, and after a change two releases of a program would not exclude each
//! other.

use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

/// Longest text after the slash: 64 characters, MySQL's limit, less eight hex digits and the slash.
const TEXT_MAX: usize = 55;
/// Longest readable start of a hashed name: the text without 26 characters of hash and a `~`.
pub(crate) const SLUG_MAX: usize = 28;
const HASH_BYTES: usize = 16;
pub(crate) const HASH_CHARS: usize = 26;

/// What is locked; the first byte that is hashed.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Row = b'r' as isize,
    Table = b't' as isize,
    Named = b'n' as isize,
}

impl Kind {
    /// The kind of a name that is still plain: `=` and `*` cannot stand in a component.
    fn of_plain(text: &str) -> Kind {
        if text.starts_with('=') {
            Kind::Named
        } else if text.ends_with(":*") {
            Kind::Table
        } else {
            Kind::Row
        }
    }
}

/// Writes a name component by component: in the readable form while it is plain and short enough,
/// and as slug and hash from then on. It allocates only in `finish` and for a hash.
pub(crate) struct NameWriter {
    kind: Kind,
    text: Text,
    /// On the heap, since it is large and few names need it.
    hash: Option<Arc<Sha256>>,
}

/// A finished name, with the hash state to which a scope can be added.
pub(crate) struct Finished {
    pub(crate) text: Arc<str>,
    pub(crate) hash: Option<Arc<Sha256>>,
}

/// The buffer of a name, on the stack. Its content is ASCII.
struct Text {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl Text {
    fn new() -> Self {
        Text {
            bytes: [0; TEXT_MAX],
            len: 0,
        }
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("a name is ASCII")
    }

    /// The caller has checked that the text fits.
    fn push(&mut self, text: &[u8]) {
        let end = self.len + text.len();
        self.bytes[self.len..end].copy_from_slice(text);
        self.len = end;
    }
}

impl NameWriter {
    pub(crate) fn new(kind: Kind) -> Self {
        NameWriter {
            kind,
            text: Text::new(),
            hash: None,
        }
    }

    /// Continues a finished name that has no scope.
    fn resume(text: &str, hash: Option<&Sha256>) -> Self {
        let mut writer = NameWriter::new(Kind::of_plain(text));
        writer.hash = hash.cloned().map(Arc::new);
        let readable = if hash.is_some() {
            &text[..text.len() - HASH_CHARS - 1]
        } else {
            text
        };
        writer.text.push(readable.as_bytes());
        writer
    }

    /// Writes characters of the readable form that are not part of a component.
    pub(crate) fn punctuation(&mut self, text: &str) {
        if self.hash.is_none() && self.fits(text.len()) {
            self.text.push(text.as_bytes());
        } else {
            self.start_hash();
            self.extend_slug(text);
        }
    }

    pub(crate) fn component(&mut self, separator: &str, text: &str) {
        self.write(separator, text, false);
    }

    pub(crate) fn scope(text: &str, hash: Option<&Sha256>, scope: &str) -> Finished {
        let mut writer = NameWriter::resume(text, hash);
        writer.write("#", scope, true);
        writer.finish()
    }

    /// The readable form so far, or the slug.
    pub(crate) fn written(&self) -> &str {
        self.text.as_str()
    }

    pub(crate) fn finish(mut self) -> Finished {
        if let Some(state) = &self.hash {
            let digest = Sha256::clone(state).finalize();
            let mut chars = [0; HASH_CHARS];
            BASE32_NOPAD.encode_mut(&digest[..HASH_BYTES], &mut chars);
            chars.make_ascii_lowercase();
            self.text.push(b"~");
            self.text.push(&chars);
        }
        Finished {
            text: self.text.as_str().into(),
            hash: self.hash,
        }
    }

    fn write(&mut self, separator: &str, text: &str, is_scope: bool) {
        if self.hash.is_none() && is_plain(text) && self.fits(separator.len() + text.len()) {
            self.text.push(separator.as_bytes());
            self.text.push(text.as_bytes());
            return;
        }
        let hash = self.start_hash();
        if is_scope {
            hash.update(b"#");
        }
        update(hash, text);
        self.extend_slug(separator);
        self.extend_slug(text);
    }

    fn fits(&self, more: usize) -> bool {
        self.text.len + more <= TEXT_MAX
    }

    /// Starts the hash with what was written so far, which can be split again because it is plain.
    fn start_hash(&mut self) -> &mut Sha256 {
        let hash = self.hash.get_or_insert_with(|| {
            let mut hash = Sha256::new();
            hash.update([self.kind as u8]);
            self.text
                .as_str()
                .trim_start_matches('=')
                .trim_end_matches(":*")
                .split([':', ','])
                .filter(|component| !component.is_empty())
                .for_each(|component| update(&mut hash, component));
            self.text.len = self.text.len.min(SLUG_MAX);
            for byte in &mut self.text.bytes[..self.text.len] {
                if !is_plain_byte(*byte) {
                    *byte = b'-';
                }
            }
            Arc::new(hash)
        });
        Arc::get_mut(hash).expect("a name that is being written has no copy")
    }

    fn extend_slug(&mut self, text: &str) {
        let room = SLUG_MAX.saturating_sub(self.text.len);
        for char in text.chars().take(room) {
            let lower = u8::try_from(char.to_ascii_lowercase()).unwrap_or(b'-');
            let byte = if is_plain_byte(lower) { lower } else { b'-' };
            self.text.push(&[byte]);
        }
    }
}

fn update(hash: &mut Sha256, component: &str) {
    hash.update((component.len() as u64).to_le_bytes());
    hash.update(component);
}

pub(crate) fn is_plain(component: &str) -> bool {
    // No byte of a non-ASCII character is plain.
    !component.is_empty() && component.bytes().all(is_plain_byte)
}

fn is_plain_byte(byte: u8) -> bool {
    IS_PLAIN[usize::from(byte)]
}

/// A table, since this is looked up for each byte of each name.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_plain[byte] = matches!(byte as u8, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
        byte += 1;
    }
    is_plain
};

/// The first eight hex digits of a namespace's SHA-256.
pub(crate) fn namespace_prefix(namespace: &str) -> [u8; 8] {
    let mut prefix = [0; 8];
    HEXLOWER.encode_mut(&Sha256::digest(namespace)[..4], &mut prefix);
    prefix
}
