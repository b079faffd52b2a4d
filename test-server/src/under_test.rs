//! Which servers a test run covers.

use std::env;

use crate::ServerKind;

const VARIABLE: &str = "TEST_SERVERS";

/// The kinds that `TEST_SERVERS` lists, such as `mariadb,postgres`. The default is MariaDB.
///
/// # Panics
///
/// If the variable contains an unknown word.
pub fn kinds_under_test() -> Vec<ServerKind> {
    words().kinds
}

/// The kinds of [`kinds_under_test`] that speak MySQL's protocol: for tests of programs that do not
/// run on PostgreSQL.
///
/// # Panics
///
/// As for `kinds_under_test`.
pub fn mysql_kinds_under_test() -> Vec<ServerKind> {
    let kinds = kinds_under_test().into_iter();
    kinds.filter(|kind| !kind.is_postgres()).collect()
}

/// The server of `DATABASE_URL`, if `TEST_SERVERS` contains the word `url`.
///
/// # Panics
///
/// If `TEST_SERVERS` contains an unknown word, or `url` while `DATABASE_URL` is not set.
pub fn url_under_test() -> Option<String> {
    words().url.then(|| match env::var("DATABASE_URL") {
        Ok(url) => url,
        Err(error) => panic!("{VARIABLE} contains `url`, but DATABASE_URL cannot be read: {error}"),
    })
}

#[derive(Debug, PartialEq)]
struct Words {
    kinds: Vec<ServerKind>,
    url: bool,
}

fn words() -> Words {
    let text = env::var(VARIABLE).unwrap_or_else(|_| ServerKind::Mariadb.to_string());
    match parse(&text) {
        Ok(words) => words,
        Err(word) => panic!(
            "{VARIABLE}={text}: `{word}` is none of mariadb, mysql, postgres, postgres18 and url, \
             which a comma separates"
        ),
    }
}

fn parse(text: &str) -> Result<Words, String> {
    let mut words = Words {
        kinds: Vec::new(),
        url: false,
    };
    for word in text.split(',').map(str::trim) {
        match word.parse() {
            Ok(kind) if words.kinds.contains(&kind) => {}
            Ok(kind) => words.kinds.push(kind),
            Err(_) if word == "url" => words.url = true,
            Err(_) => return Err(word.to_owned()),
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_read_in_order_without_repetitions() {
        let words = parse("mysql, mariadb,mysql").expect("known words");
        assert_eq!(words.kinds, [ServerKind::Mysql, ServerKind::Mariadb]);
        assert!(!words.url);
    }

    #[test]
    fn url_is_not_a_kind() {
        let words = parse("url").expect("a known word");
        assert_eq!((words.kinds, words.url), (vec![], true));
    }

    #[test]
    fn unknown_word_is_named() {
        assert_eq!(parse("mariadb,oracle"), Err("oracle".to_owned()));
        assert_eq!(parse(""), Err(String::new()));
    }
}
