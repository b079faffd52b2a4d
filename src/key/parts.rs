//! [`KeyParts`]: writes the parts of a primary key into a name.

use std::fmt::{self, Write as _};

use data_encoding::HEXLOWER;

use crate::name_format::NameWriter;

/// Receives the parts of a primary key in [`LockKey::write_parts`](crate::LockKey::write_parts):
/// one call for each column, in the order of the columns.
///
/// ```
/// use diesel_advisory_lock::{KeyParts, LockKey, LockName};
///
/// /// Two columns.
/// struct Place(u16, String);
///
/// impl LockKey for Place {
///     fn write_parts(&self, parts: &mut KeyParts<'_>) {
///         parts.display(self.0);
///         parts.text(&self.1);
///     }
/// }
/// # diesel::table! {
/// #     seats (row_number, letter) { row_number -> Unsigned<SmallInt>, letter -> Text, }
/// # }
///
/// let name = LockName::row_unchecked(seats::table, Place(12, "b".into()));
/// assert_eq!(name.to_string(), "seats:12,b");
/// ```
pub struct KeyParts<'n> {
    name: &'n mut NameWriter,
    separator: &'static str,
}

impl<'n> KeyParts<'n> {
    pub(crate) fn new(name: &'n mut NameWriter) -> Self {
        KeyParts {
            name,
            separator: ":",
        }
    }

    /// Adds a part that is text.
    pub fn text(&mut self, part: &str) {
        self.name.component(self.separator, part);
        self.separator = ",";
    }

    /// Adds a part as `Display` writes it.
    pub fn display(&mut self, part: impl fmt::Display) {
        let mut buffer = Buffer::default();
        match write!(buffer, "{part}") {
            Ok(()) => self.text(buffer.as_str()),
            // A custom type whose text is longer than any number or date.
            Err(fmt::Error) => self.text(&part.to_string()),
        }
    }

    /// Adds bytes as a part, in lower-case hex.
    pub fn bytes(&mut self, part: &[u8]) {
        let mut buffer = [0; 64];
        match buffer.get_mut(..part.len() * 2) {
            Some(hex) => self.text(HEXLOWER.encode_mut_str(part, hex)),
            None => self.text(&HEXLOWER.encode(part)),
        }
    }
}

impl fmt::Debug for KeyParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyParts")
            .field("written", &self.name.written())
            .finish()
    }
}

/// A buffer on the stack, for the longest number (`i128::MIN`) or date-time.
struct Buffer {
    bytes: [u8; 48],
    len: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer {
            bytes: [0; 48],
            len: 0,
        }
    }
}

impl Buffer {
    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("only whole `str`s are written")
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
