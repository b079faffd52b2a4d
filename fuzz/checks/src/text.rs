//! Text that comes near to where names and literals change their form.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Some text: anything, or a few characters that matter, or one of them very often.
#[derive(Clone, Debug)]
pub(crate) struct Text(pub(crate) String);

/// Plain, nearly plain, folded, cut or refused by a server, and the separators of names.
const CHARS: [char; 32] = [
    'a', 'b', 'k', 'z', '0', '7', '9', '_', '.', '-', ',', ':', '#', '*', '=', '~', '/', 'A', 'K',
    'Z', ' ', '\0', '`', '"', '\\', '\n', 'é', 'É', 'İ', '\u{212a}', '\u{ffff}', '🔒',
];

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut some = |plain: bool| -> Result<char> {
            let end = if plain { 10 } else { CHARS.len() };
            Ok(CHARS[usize::from(bytes.arbitrary::<u8>()?) % end])
        };
        // Short, or around 28 and 55 characters, where slugs and names end, and 64, where locks do.
        let text = match some(false)? {
            'a'..='z' => (0..4).map(|_| some(true)).collect::<Result<_>>()?,
            '0'..='9' => (0..4).map(|_| some(false)).collect::<Result<_>>()?,
            '_' | '.' | '-' => {
                let char = some(false)?;
                let times = bytes.int_in_range(0..=70)?;
                std::iter::repeat_n(char, times).collect()
            }
            ',' | ':' | '#' => {
                let tail: String = (0..2).map(|_| some(false)).collect::<Result<_>>()?;
                let times = bytes.int_in_range(20..=66)?;
                "x".repeat(times) + &tail
            }
            '*' | '=' => String::new(),
            _ => bytes.arbitrary::<&str>()?.to_owned(),
        };
        Ok(Text(text))
    }
}
