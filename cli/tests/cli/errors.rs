//! Wrong arguments, and servers that do not answer.

use crate::support::{Ran, program};

fn error(arguments: &[&str]) -> String {
    let ran = Ran::of(&mut program(arguments)).assert_code(2);
    assert_eq!(ran.out, "");
    ran.err
}

#[test]
fn missing_server_is_an_error() {
    let text = error(&["list"]);
    assert!(text.contains("DATABASE_URL"), "{text}");
}

#[test]
fn url_of_another_server_is_an_error_without_the_password() {
    for url in [
        "sqlite://u:secret@h/d",
        "u:secret@h/d",
        "mariadb://u:secret@h/d",
    ] {
        let text = error(&["check", "--database-url", url]);
        assert!(text.contains("starts with mysql://"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[cfg(not(all(feature = "mysql", feature = "postgres")))]
#[test]
fn url_of_a_server_that_is_not_compiled_in_names_the_feature() {
    let scheme = if cfg!(feature = "mysql") {
        "postgres"
    } else {
        "mysql"
    };
    let text = error(&["list", "--database-url", &format!("{scheme}://u@h/d")]);
    assert!(text.contains(&format!("--features {scheme}")), "{text}");
}

#[test]
fn server_that_does_not_answer_is_an_error() {
    let schemes = [
        cfg!(feature = "mysql").then_some("mysql"),
        cfg!(feature = "postgres").then_some("postgres"),
    ];
    for scheme in schemes.into_iter().flatten() {
        // Port 1 is not in use.
        let url = format!("{scheme}://u:secret@127.0.0.1:1/d");
        for command in ["list", "check", "watch"] {
            let text = error(&[command, "--database-url", &url]);
            assert!(text.contains("cannot connect to the server: "), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}

#[test]
fn help_documents_exit_codes_and_examples() {
    let ran = Ran::of(&mut program(&["--help"])).assert_code(0);
    assert!(ran.out.contains("Examples:"), "{ran:?}");
    for command in ["list", "watch", "who", "check", "end", "key"] {
        assert!(ran.out.contains(&format!("\n  {command} ")), "{ran:?}");
        Ran::of(&mut program(&[command, "--help"])).assert_code(0);
    }
}
