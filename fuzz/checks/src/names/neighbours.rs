//! Things that a careless writer of names would call the same.

use super::subject::{LockedObject, Of};
use super::{reference, tables};

pub(super) fn of(subject: &LockedObject) -> Vec<LockedObject> {
    let with = |of: Of| LockedObject {
        of,
        ..subject.clone()
    };
    let shown = reference::name(subject);
    let mut near = vec![
        // A name that is spelt like this one.
        with(Of::Named(shown.clone())),
        LockedObject {
            scope: Some(String::new()),
            ..subject.clone()
        },
        LockedObject {
            scope: None,
            ..subject.clone()
        },
    ];
    match &subject.of {
        Of::Row(table, key) => {
            let row = |key: Vec<String>| with(Of::Row(*table, key));
            near.push(row(vec![shown]));
            near.push(row(vec![key.join(",")]));
            near.push(row(key
                .iter()
                .flat_map(|part| part.split(',').map(str::to_owned))
                .collect()));
            near.push(row(key.iter().map(|part| part.to_lowercase()).collect()));
            near.push(row(key
                .iter()
                .map(|part| part.replace('\0', "-"))
                .collect()));
            near.push(with(Of::Row(table.wrapping_add(1), key.clone())));
            near.push(LockedObject {
                scope: key.last().cloned(),
                ..row(key[..key.len() - 1].to_vec()).or_whole_table()
            });
            near.extend(moved(key).map(row));
            if let Some(scope) = &subject.scope {
                let mut key = key.clone();
                if let Some(last) = key.last_mut() {
                    last.push('#');
                    last.push_str(scope);
                }
                near.push(LockedObject {
                    scope: None,
                    ..row(key)
                });
            }
        }
        Of::Table(table) => {
            near.push(with(Of::Row(*table, vec!["*".to_owned()])));
            near.push(with(Of::Row(*table, vec![String::new()])));
            near.push(with(Of::Table(table.wrapping_add(1))));
        }
        Of::Named(text) => {
            near.push(with(Of::Named(format!("={text}"))));
            near.push(with(Of::Named(text.to_lowercase())));
            near.push(with(Of::Row(0, vec![text.clone()])));
            for table in 0..tables::COUNT {
                if let Some(key) = text.strip_prefix(tables::sql(table).name) {
                    near.push(with(Of::Row(table, vec![key.to_owned()])));
                }
            }
        }
    }
    near
}

/// The first character of the second part at the end of the first.
fn moved(key: &[String]) -> Option<Vec<String>> {
    let [first, second, more @ ..] = key else {
        return None;
    };
    let char = second.chars().next()?;
    let first = format!("{first}{char}");
    let second = second[char.len_utf8()..].to_owned();
    Some([&[first, second], more].concat())
}

impl LockedObject {
    /// A key has at least one part.
    fn or_whole_table(self) -> Self {
        match self.of {
            Of::Row(table, key) if key.is_empty() => LockedObject {
                of: Of::Table(table),
                ..self
            },
            _ => self,
        }
    }
}
