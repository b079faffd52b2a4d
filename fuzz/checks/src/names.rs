//! Names, against what `docs/lock-names.md` says of them.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use arbitrary::{Arbitrary, Unstructured};
use diesel_advisory_lock::LockName;

use crate::text::Text;

mod exact;
mod key;
mod neighbours;
mod reference;
mod seen;
mod subject;
mod tables;

use subject::{LockedObject, Thing};

/// What the fuzzer chooses.
#[derive(Arbitrary, Debug)]
enum Input {
    Names {
        things: Vec<Thing>,
        steps: Vec<Step>,
        /// How many of the steps go through `LockName`; the others go through its request.
        on_the_name: u8,
        schema: Text,
    },
    Exact(Text),
}

/// An option that is set; the last of its kind counts.
#[derive(Arbitrary, Debug)]
enum Step {
    Scope(Text),
    Namespace(Text),
}

pub fn check(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    match input {
        Input::Exact(text) => exact::check(&text.0),
        Input::Names {
            things,
            steps,
            on_the_name,
            schema,
        } => {
            let mut names = Vec::new();
            for thing in things.into_iter().take(2) {
                let name = with_options(thing.name(), &steps, usize::from(on_the_name));
                let mut subject = LockedObject::of(thing);
                for step in &steps {
                    match step {
                        Step::Scope(scope) => subject.scope = Some(scope.0.clone()),
                        Step::Namespace(namespace) => {
                            subject.namespace = Some(namespace.0.clone());
                        }
                    }
                }
                let neighbours = neighbours::of(&subject);
                names.push((subject, name));
                names.extend(neighbours.into_iter().map(|near| {
                    let name = near.name();
                    (near, name)
                }));
            }
            for (subject, name) in &names {
                check_one(subject, name, &schema.0);
            }
            check_pairs(&names);
        }
    }
}

fn with_options(name: LockName, steps: &[Step], on_the_name: usize) -> LockName {
    let (first, rest) = steps.split_at(on_the_name.min(steps.len()));
    let name = first.iter().fold(name, |name, step| match step {
        Step::Scope(scope) => name.scope(&scope.0),
        Step::Namespace(namespace) => name.namespace(&namespace.0),
    });
    let request = rest.iter().fold(name.lock(), |request, step| match step {
        Step::Scope(scope) => request.scope(&scope.0),
        Step::Namespace(namespace) => request.namespace(&namespace.0),
    });
    request.names().remove(0)
}

/// The name itself: its form, what it has to be, and that all who show it show the same.
fn check_one(subject: &LockedObject, name: &LockName, schema: &str) {
    let shown = name.to_string();
    let written = name.full_name(schema);
    assert_eq!(shown, reference::name(subject), "{subject:?}");
    assert_eq!(
        written,
        format!("{}/{shown}", reference::prefix(subject, schema)),
        "{subject:?}"
    );
    assert_form(&written);

    let debug = match subject.effective_namespace() {
        Some(_) => format!("LockName({written:?})"),
        None => format!("LockName({:?})", format!("<schema>/{shown}")),
    };
    assert_eq!(format!("{name:?}"), debug, "{subject:?}");

    // Another scope replaces this one, whatever stood there before.
    let twice = name.clone().scope("A").scope("b");
    assert_eq!(twice, name.clone().scope("b"), "{subject:?}");
    if let Some(scope) = &subject.scope {
        let again = twice.scope(scope);
        assert_eq!(&again, name, "{subject:?}");
        assert_eq!(again.full_name(schema), written, "{subject:?}");
    }
    seen::check(&shown, subject);
}

/// `<8 hex>/<name>`, of which a server reads every character alike.
fn assert_form(written: &str) {
    assert!(written.len() <= 64, "too long: {written:?}");
    let (prefix, name) = written.split_at(8);
    assert!(
        prefix
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "no prefix: {written:?}"
    );
    let Some(name) = name.strip_prefix('/').filter(|name| !name.is_empty()) else {
        panic!("no name of its own: {written:?}");
    };
    assert!(
        name.bytes().all(|byte| matches!(
            byte,
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b',' | b':' | b'#' | b'*' | b'=' | b'~' | b'-'
        )),
        "a character that must not be: {written:?}"
    );
}

/// Two names are one exactly if they are of the same thing in the same namespace.
fn check_pairs(names: &[(LockedObject, LockName)]) {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let all: Vec<_> = names
        .iter()
        .map(|(subject, name)| {
            let namespace = subject
                .effective_namespace()
                .map(|_| reference::prefix(subject, ""));
            let hash = hasher.hash_one(name);
            (
                subject.identity(),
                namespace,
                name,
                hash,
                name.full_name(""),
            )
        })
        .collect();
    for (index, left) in all.iter().enumerate() {
        for right in &all[..index] {
            let same = left.0 == right.0 && left.1 == right.1;
            assert_eq!(left.2 == right.2, same, "{left:?}\n{right:?}");
            if same {
                assert_eq!((left.3, &left.4), (right.3, &right.4));
            } else if left.1 == right.1 {
                assert_ne!(left.4, right.4, "{left:?}\n{right:?}");
            }
        }
    }
}
