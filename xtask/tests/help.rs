//! `--help` and usage errors need no cargo, compiler, client library or server.

use std::process::{Command, Output};

/// Runs xtask where it finds no other program.
fn xtask(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(line.split_whitespace())
        .env("PATH", "/nonexistent")
        .env("CARGO", "/nonexistent/cargo")
        .env_remove("DATABASE_URL")
        .output()
        .expect("xtask runs")
}

#[track_caller]
fn help(line: &str) -> String {
    let output = xtask(line);
    let text = String::from_utf8(output.stdout).expect("help is UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    text
}

#[test]
fn help_of_every_command_is_printed_without_a_build() {
    let list = help("--help");
    let commands: Vec<_> = list
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Further lines of a description are indented more.
        .filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|rest| !rest.starts_with(' '))
        })
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.contains(&"bench"), "{list}");
    for command in commands {
        let usage = format!("Usage: cargo xtask {command}");
        for line in [format!("{command} --help"), format!("help {command}")] {
            let text = help(&line);
            assert!(text.contains(&usage), "{line}: {text}");
        }
    }
}

#[test]
fn help_of_a_program_lists_its_options() {
    for (command, option) in [
        ("demo", "--without-lock"),
        ("bench", "--only"),
        ("stress", "--faults"),
        ("mutants", "--shard"),
        ("test", "--server"),
        ("test", "--test mysql killing_the_holder"),
    ] {
        let text = help(&format!("{command} --help"));
        assert!(text.contains(option), "{command}: {text}");
    }
}

#[test]
fn wrong_option_is_refused_before_the_build() {
    for line in ["demo --locks", "bench --only all", "stress --faults fire"] {
        let output = xtask(line);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.starts_with("error: "), "{line}: {errors}");
    }
}
