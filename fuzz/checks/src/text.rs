//! Text that is close to where names change their form.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Ten plain characters, then separators of names, and characters that a server folds or refuses.
const CHARS: [char; 32] = [
    'a', 'b', 'k', 'z', '0', '7', '9', '_', '.', '-', ',', ':', '#', '*', '=', '~', '/', 'A', 'K',
    'Z', ' ', '\0', '`', '"', '\\', '\n', 'é', 'É', 'İ', '\u{212a}', '\u{ffff}', '🔒',
];
const PLAIN: usize = 10;

/// Any text, a few of the characters above, or one of them many times.
pub(crate) fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    let mut one_of =
        |count: usize| -> Result<char> { Ok(CHARS[usize::from(bytes.arbitrary::<u8>()?) % count]) };
    Ok(match one_of(CHARS.len())? {
        'a'..='z' => (0..4).map(|_| one_of(PLAIN)).collect::<Result<_>>()?,
        '0'..='9' => (0..4).map(|_| one_of(CHARS.len())).collect::<Result<_>>()?,
        // Slugs end at 28 characters, names at 55, exact names at 64.
        '_' | '.' | '-' => {
            let char = one_of(CHARS.len())?;
            let times = bytes.int_in_range(0..=70)?;
            std::iter::repeat_n(char, times).collect()
        }
        ',' | ':' | '#' => {
            let tail: String = (0..2).map(|_| one_of(CHARS.len())).collect::<Result<_>>()?;
            let times = bytes.int_in_range(20..=66)?;
            "x".repeat(times) + &tail
        }
        '*' | '=' => String::new(),
        _ => bytes.arbitrary::<&str>()?.to_owned(),
    })
}

pub(crate) fn optional_text(bytes: &mut Unstructured<'_>) -> Result<Option<String>> {
    bool::arbitrary(bytes)?.then(|| text(bytes)).transpose()
}

/// One to four texts.
pub(crate) fn texts(bytes: &mut Unstructured<'_>) -> Result<Vec<String>> {
    let count = bytes.int_in_range(1..=4)?;
    (0..count).map(|_| text(bytes)).collect()
}
