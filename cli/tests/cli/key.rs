//! `diesel-lock key`, which needs no server.

use crate::support::{Ran, program};

fn key(arguments: &[&str]) -> Ran {
    Ran::of(program(&["key"]).args(arguments)).assert_code(0)
}

/// Values of `docs/lock-names.md`.
#[test]
fn golden_names_have_their_keys() {
    let cases: [(&[&str], &str, &str); 6] = [
        (
            &["notifications:42", "--schema", "app"],
            "a172cedc/notifications:42",
            "4878127644074511631",
        ),
        (
            &["a172cedc/notifications:42"],
            "a172cedc/notifications:42",
            "4878127644074511631",
        ),
        (
            &["documents", "--row", "Alice", "--schema", "app"],
            "a172cedc/documents-alice~2dxrguo33djacoxraybdt62xke",
            "-8680848912807563909",
        ),
        (
            &[
                "memberships",
                "--row",
                "7",
                "--row",
                "alice",
                "--scope",
                "send",
                "--schema",
                "app",
            ],
            "a172cedc/memberships:7,alice#send",
            "-8496710195426739568",
        ),
        (
            &["nightly-report", "--named", "--namespace", "app"],
            "a172cedc/=nightly-report",
            "72162998206350021",
        ),
        (
            &["Notification|42", "--exact"],
            "Notification|42",
            "8341235654237378904",
        ),
    ];
    for (arguments, name, key_of_name) in cases {
        let ran = key(arguments);
        assert_eq!(ran.line("mysql")[1], name);
        assert_eq!(ran.line("postgres")[1], name);
        assert_eq!(ran.line("key")[1], key_of_name);
    }
}

/// The schema belongs to the name on MySQL, and not on PostgreSQL.
#[test]
fn named_lock_has_two_full_names() {
    let ran = key(&["=nightly-report", "--schema", "app"]);
    assert_eq!(ran.line("mysql")[1], "a172cedc/=nightly-report");
    assert_eq!(ran.line("postgres")[1], "e3b0c442/=nightly-report");
    assert_eq!(ran.line("key")[1], "-6137325753139062935");
}

#[test]
fn key_is_split_into_the_columns_of_pg_locks() {
    let ran = key(&["a172cedc/notifications:42"]);
    assert_eq!(ran.line("classid")[1], "1135777599");
    assert_eq!(ran.line("objid")[1], "840109327");
    assert_eq!(ran.line("objsubid")[1], "1");
    let ran = key(&["(7, -2)"]);
    assert_eq!(
        ran.out,
        "key\t(7, -2)\nclassid\t7\nobjid\t4294967294\nobjsubid\t2\n"
    );
}

#[test]
fn default_schema_is_public_on_postgres_only() {
    let ran = key(&["notifications:42"]);
    let public = key(&["notifications:42", "--schema", "public"]);
    assert_eq!(ran.line("postgres"), public.line("postgres"));
    assert!(!ran.out.contains("mysql"), "{ran:?}");
    assert!(ran.err.contains("--schema"), "{ran:?}");
}
