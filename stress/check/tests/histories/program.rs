//! `stress-check`, from the outside.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::story::{and, but, worker, write};

const CLEAN: &str = "
    run: 0 run seed 4711
    #1 w1.1 transaction a: 0 invoke; 10 granted 5; 20 end a=1; 30 ok
    #2 w2.1 transaction a: 5 invoke; 31 granted 6; 40 end a=2; 50 ok
    #6 w3.2 hold near: 12 invoke; 13 granted 8; 14 end; 16 ok
    #3 w3.1 hold far: 600 invoke; 610 granted 7; 620 end; 630 ok
    run: 900 final a 2
";

fn check(directory: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stress-check"))
        .arg(directory.path())
        .args(arguments)
        .output()
        .expect("the program")
}

#[track_caller]
fn says(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "not `{word}`:\n{text}");
    }
}

fn overlap() -> String {
    but(CLEAN, "31 granted", "15 granted")
}

#[test]
fn a_clean_run_succeeds() {
    let output = check(&write(CLEAN), &[]);
    says(
        &output,
        0,
        &["No rule was broken.", "seed: 4711", "4 cycles"],
    );
}

#[test]
fn a_broken_rule_is_shown_with_its_seed_and_window() {
    let output = check(&write(&overlap()), &[]);
    says(
        &output,
        1,
        &[
            "VIOLATED, 1 times:",
            "(a) exclusive: operation 2 of worker 2, thread 1 (transaction) ran under `a` for 5.000 ms",
            "The shortest window that shows one, 0.010000 s after the start",
            ">     0.005000  worker 2   thread 1        2 invoke transaction a (1000 ms, plain)",
            ">     0.015000  worker 2   thread 1        2 granted, session 6, held by 6",
            ">     0.020000  worker 1   thread 1        1 end, a=1",
            "The seed was 4711.",
        ],
    );
    let text = String::from_utf8_lossy(&output.stdout);
    for other in ["hold far", "hold near"] {
        assert!(!text.contains(other), "{text}");
    }
}

#[test]
fn the_shortest_window_is_shown() {
    let longer = and(
        &overlap(),
        "#4 w4.1 hold a: 700 invoke; 710 granted 8; 720 end; 730 ok",
    );
    let longer = and(
        &longer,
        "#5 w5.1 hold a: 700 invoke; 714 granted 9; 719 end; 730 ok",
    );
    // The first lasts from 10 to 20, the second from 710 to 719.
    says(
        &check(&write(&longer), &[]),
        1,
        &["The shortest window that shows one, 0.710000 s"],
    );
    let shorter = but(&longer, "710 granted 8", "705 granted 8");
    says(
        &check(&write(&shorter), &[]),
        1,
        &["The shortest window that shows one, 0.010000 s"],
    );
}

#[test]
fn a_long_window_has_the_guilty_in_it() {
    let mut story = and(&overlap(), "fault delay: 1..2");
    for id in 10..40 {
        story = and(
            &story,
            &format!("#{id} w1.{id} try_transaction a wait 0: 10.{id} invoke; 10.{id} busy"),
        );
    }
    let output = check(&write(&story), &[]);
    says(
        &output,
        1,
        &[
            "30 lines more",
            "2 granted, session 6",
            "1 end, a=1",
            "1 outcome ok",
        ]
        .map(|word| {
            if word == "30 lines more" {
                "lines more"
            } else {
                word
            }
        }),
    );
}

#[test]
fn a_run_may_be_expected_to_break_a_rule() {
    let directory = write(&overlap());
    says(
        &check(&directory, &["--expect", "exclusive"]),
        0,
        &["VIOLATED", "(a) exclusive"],
    );
    says(
        &check(&directory, &["--expect", "accounted,exclusive"]),
        0,
        &["VIOLATED"],
    );
    let missed = check(&directory, &["--expect", "accounted,nothing-left"]);
    says(&missed, 1, &["VIOLATED"]);
    let error = String::from_utf8_lossy(&missed.stderr);
    assert_eq!(
        error,
        "Expected to be broken, but was not: accounted, nothing-left.\n"
    );
    says(
        &check(&write(CLEAN), &["--expect", "exclusive"]),
        1,
        &["No rule was broken."],
    );
    let unknown = check(&directory, &["--expect", "exquisite"]);
    assert_eq!(unknown.status.code(), Some(2));
    let error = String::from_utf8_lossy(&unknown.stderr);
    let rules = "the rules are exclusive, accounted, reported, prompt, nothing-left";
    assert!(error.contains(rules), "{error}");
}

#[test]
fn what_is_no_history_is_an_error() {
    let directory = write(CLEAN);
    fs::write(worker(&directory, 1), "nonsense\n").expect("a file");
    let output = check(&directory, &["--expect", "exclusive"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("worker-1.history: the first line is `nonsense`"),
        "{error}"
    );
}

#[test]
fn a_picture_is_drawn() {
    let story = and(CLEAN, "fault kill-holder session=5,name=<a&b>: 605");
    let directory = write(&story);
    let file = directory.path().join("picture.svg");
    let path = file.display().to_string();
    says(
        &check(&directory, &["--picture", &path]),
        0,
        &[&format!("The picture is {path}.")],
    );
    let drawn = fs::read_to_string(&file).expect("a picture");
    assert!(
        drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"),
        "{drawn}"
    );
    // It shows where the fault was, and what it was.
    for word in [
        "kill-holder",
        "session 5",
        "&lt;a&amp;b>",
        "far",
        "worker 3",
    ] {
        assert!(drawn.contains(word), "not `{word}`: {drawn}");
    }
    says(
        &check(
            &directory,
            &["--picture", &path, "--from", "0", "--length", "0.1"],
        ),
        0,
        &[],
    );
    let drawn = fs::read_to_string(&file).expect("a picture");
    assert!(
        drawn.contains("worker 2") && !drawn.contains("kill-holder"),
        "{drawn}"
    );
}
