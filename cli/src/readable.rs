//! Durations and texts for readers.

use std::time::Duration;

/// One unit: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.subsec_millis() >= 50 => format!("0.{} s", time.subsec_millis() / 100),
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Escapes control characters: names and statements of other programs may contain any, and would
/// break a line or command the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => result.extend(char.escape_default()),
            false => result.push(char),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        let cases = [
            (0, "0 s"),
            (49, "0 s"),
            (400, "0.4 s"),
            (1_900, "1 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_599_000, "59 min"),
            (3_600_000, "1 h"),
            (47 * 3_600_000, "47 h"),
            (48 * 3_600_000, "2 d"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("é\ta\n\u{1b}[2J"), "é\\ta\\n\\u{1b}[2J");
    }
}
