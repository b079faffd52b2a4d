//! The machine's own mirror of Debian, which is likely the nearest.

use std::fs;
use std::path::Path;

const DEFAULT: &str = "http://deb.debian.org/debian";

/// The first mirror of Debian's main archive among apt's sources, or Debian's own.
pub(super) fn debian_mirror() -> String {
    texts()
        .iter()
        .find_map(|(text, is_deb822)| {
            if *is_deb822 {
                in_deb822(text)
            } else {
                in_lines(text)
            }
        })
        .unwrap_or_else(|| DEFAULT.to_owned())
}

/// The files that apt reads, and whether they are in its newer format.
fn texts() -> Vec<(String, bool)> {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_owned()];
    if let Ok(directory) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(directory.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    files
        .into_iter()
        .filter_map(|file| {
            let extension = file.extension()?.to_str()?;
            let is_deb822 = extension == "sources";
            (is_deb822 || extension == "list").then_some(())?;
            Some((fs::read_to_string(file).ok()?, is_deb822))
        })
        .collect()
}

/// One entry of apt's sources.
#[derive(Default)]
struct Source<'a> {
    uris: Vec<&'a str>,
    suites: Vec<&'a str>,
    components: Vec<&'a str>,
}

impl<'a> Source<'a> {
    /// Others call their archive `debian`, too, but not with a component `main` in it, and the
    /// archive of security updates has no sid.
    fn debian(&self) -> Option<&'a str> {
        let is_main = self.components.contains(&"main")
            && !self.suites.iter().any(|suite| suite.contains("security"));
        self.uris
            .iter()
            .map(|uri| uri.trim_end_matches('/'))
            .find(|uri| is_main && uri.starts_with("http") && uri.ends_with("/debian"))
    }
}

/// In the style of `deb [options] http://deb.debian.org/debian bookworm main`.
fn in_lines(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let rest = line.trim().strip_prefix("deb")?;
        // Neither `deb-src` nor another word.
        let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let source = Source {
            uris: vec![words.next()?],
            suites: vec![words.next()?],
            components: words.collect(),
        };
        source.debian().map(str::to_owned)
    })
}

/// In the style of `URIs: http://deb.debian.org/debian`, a paragraph for each source.
fn in_deb822(text: &str) -> Option<String> {
    // Comments may stand within a paragraph.
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut source = Source::default();
    let mut enabled = true;
    let mut field = String::new();
    for line in lines.chain([""]) {
        if line.trim().is_empty() {
            if let Some(uri) = source.debian().filter(|_| enabled) {
                return Some(uri.to_owned());
            }
            (source, enabled) = (Source::default(), true);
            continue;
        }
        let value = match line.split_once(':') {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                field = name.to_ascii_lowercase();
                value
            }
            // A line that goes on with the field before.
            _ => line,
        };
        let words = value.split_whitespace();
        match field.as_str() {
            "uris" => source.uris.extend(words),
            "suites" => source.suites.extend(words),
            "components" => source.components.extend(words),
            "enabled" => enabled = value.trim() != "no",
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_of_debian_bookworm() {
        let text = "\
Types: deb
# A comment within the paragraph
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
";
        assert_eq!(
            in_deb822(text).as_deref(),
            Some("http://deb.debian.org/debian")
        );
    }

    #[test]
    fn a_paragraph_that_is_not_debians_main_archive_is_passed_over() {
        let text = "\
URIs: https://download.docker.com/linux/debian
Suites: bookworm
Components: stable

Enabled: no
URIs: http://old.example.org/debian
Suites: sid
Components: main

URIs:
 https://ftp.example.org/debian/
Suites: trixie
Components: main contrib";
        assert_eq!(
            in_deb822(text).as_deref(),
            Some("https://ftp.example.org/debian")
        );
    }

    #[test]
    fn one_line_sources() {
        let text = "\
# deb http://commented.example.org/debian bookworm main
deb-src http://source.example.org/debian bookworm main
deb http://security.debian.org/debian-security bookworm-security main
deb cdrom:[Debian 12]/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://ftp.example.org/debian/ bookworm main contrib
";
        assert_eq!(
            in_lines(text).as_deref(),
            Some("http://ftp.example.org/debian")
        );
    }

    #[test]
    fn ubuntu_is_not_debian() {
        let lines = "deb http://archive.ubuntu.com/ubuntu noble main universe";
        assert_eq!(in_lines(lines), None);
        let paragraph = "URIs: http://archive.ubuntu.com/ubuntu/\nSuites: noble\nComponents: main";
        assert_eq!(in_deb822(paragraph), None);
        assert_eq!(in_deb822(""), None);
    }
}
