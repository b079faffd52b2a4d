//! Objects that a name format without hash or escapes could confuse with a given object.

use diesel_advisory_lock::LockName;

use crate::object::{Kind, Object, Table};

pub(crate) fn of(object: &Object, name: &LockName) -> impl Iterator<Item = Object> {
    let shown = name.to_string();
    let scoped = |kind: Kind, scope: Option<&str>| Object {
        kind,
        scope: scope.map(str::to_owned),
        namespace: object.namespace.clone(),
    };
    let scope = object.scope.as_deref();
    let with = |kind: Kind| scoped(kind, scope);

    let mut near = vec![
        with(Kind::Named(shown.clone())),
        scoped(object.kind.clone(), Some("")),
        scoped(object.kind.clone(), None),
        Object {
            namespace: scope.map(str::to_owned),
            ..object.clone()
        },
    ];
    match &object.kind {
        Kind::Row(table, key) => {
            let row = |key: Vec<String>| Kind::Row(table.clone(), key);
            near.push(with(row(vec![shown])));
            near.push(with(row(vec![key.join(",")])));
            near.push(with(row(split_at_commas(key))));
            near.push(with(row(each(key, |part| part.to_lowercase()))));
            near.push(with(row(each(key, |part| part.replace('\0', "-")))));
            near.extend(moved(key).map(|key| with(row(key))));
            near.push(with(Kind::Named(format!(
                "{}:{}",
                table.name,
                key.join(",")
            ))));
            near.push(with(Kind::Row(longer(table), key.clone())));
            if let [rest @ .., last] = key.as_slice() {
                // The last part as a scope, and the scope as a piece of the last part.
                let kind = match rest {
                    [] => Kind::Table(table.clone()),
                    rest => row(rest.to_vec()),
                };
                near.push(scoped(kind, Some(last)));
                let last = format!("{last}#{}", scope.unwrap_or_default());
                near.push(scoped(row([rest, &[last]].concat()), None));
            }
        }
        Kind::Table(table) => {
            near.push(with(Kind::Row(table.clone(), vec!["*".to_owned()])));
            near.push(with(Kind::Row(table.clone(), vec![String::new()])));
            near.push(with(Kind::Named(table.name.clone())));
            near.push(with(Kind::Table(longer(table))));
        }
        Kind::Named(text) => {
            let table = |name: &str| Table {
                schema: None,
                name: name.to_owned(),
            };
            near.push(with(Kind::Named(format!("={text}"))));
            near.push(with(Kind::Named(text.to_lowercase())));
            near.push(with(Kind::Table(table(text))));
            if let Some((name, key)) = text.split_once(':') {
                near.push(with(Kind::Row(table(name), vec![key.to_owned()])));
            }
        }
    }
    near.into_iter()
}

fn each(key: &[String], change: impl FnMut(&String) -> String) -> Vec<String> {
    key.iter().map(change).collect()
}

fn split_at_commas(key: &[String]) -> Vec<String> {
    let parts = key.iter().flat_map(|part| part.split(','));
    parts.map(str::to_owned).collect()
}

/// Moves the first character of the second part to the end of the first.
fn moved(key: &[String]) -> Option<Vec<String>> {
    let [first, second, more @ ..] = key else {
        return None;
    };
    let char = second.chars().next()?;
    let first = format!("{first}{char}");
    let second = second[char.len_utf8()..].to_owned();
    Some([&[first, second], more].concat())
}

fn longer(table: &Table) -> Table {
    Table {
        schema: table.schema.clone(),
        name: format!("{}:", table.name),
    }
}
