//! The program `stress-check`.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scenario::{add, edit, worker, write};

const CLEAN: &str = "
    run: 0 run seed 4711
    #1 w1.1 transaction a: 0 invoke; 10 acquired 5; 20 end a=1; 30 ok
    #2 w2.1 transaction a: 5 invoke; 31 acquired 6; 40 end a=2; 50 ok
    #6 w3.2 hold near: 12 invoke; 13 acquired 8; 14 end; 16 ok
    #3 w3.1 hold far: 600 invoke; 610 acquired 7; 620 end; 630 ok
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

/// The first two calls overlap.
fn overlap() -> String {
    edit(CLEAN, "31 acquired", "15 acquired")
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
fn a_violation_is_shown_with_its_seed_and_events() {
    let output = check(&write(&overlap()), &[]);
    says(
        &output,
        1,
        &[
            "Violations: 1",
            "(a) exclusive: call 2 of worker 2, thread 1 (transaction) ran under `a` for 5.000 ms",
            "The shortest violation, 0.010000 s after the start",
            ">     0.005000  worker 2   thread 1        2 invoke transaction a (1000 ms, plain)",
            ">     0.015000  worker 2   thread 1        2 acquired, session 6, held by 6",
            ">     0.020000  worker 1   thread 1        1 end, a=1",
            "Seed: 4711",
        ],
    );
    let text = String::from_utf8_lossy(&output.stdout);
    for other in ["hold far", "hold near"] {
        assert!(!text.contains(other), "{text}");
    }
}

#[test]
fn the_shortest_violation_is_shown() {
    let longer = add(
        &overlap(),
        "#4 w4.1 hold a: 700 invoke; 710 acquired 8; 720 end; 730 ok",
    );
    let longer = add(
        &longer,
        "#5 w5.1 hold a: 700 invoke; 714 acquired 9; 719 end; 730 ok",
    );
    // The first lasts from 10 to 20, the second from 710 to 719.
    says(
        &check(&write(&longer), &[]),
        1,
        &["The shortest violation, 0.710000 s"],
    );
    let shorter = edit(&longer, "710 acquired 8", "705 acquired 8");
    says(
        &check(&write(&shorter), &[]),
        1,
        &["The shortest violation, 0.010000 s"],
    );
}

#[test]
fn the_calls_in_violation_are_always_shown() {
    let mut scenario = add(&overlap(), "fault delay: 1..2");
    for id in 10..40 {
        scenario = add(
            &scenario,
            &format!("#{id} w1.{id} try_transaction a wait 0: 10.{id} invoke; 10.{id} contended"),
        );
    }
    let output = check(&write(&scenario), &[]);
    says(
        &output,
        1,
        &[
            "more lines",
            "2 acquired, session 6",
            "1 end, a=1",
            "1 outcome ok",
        ],
    );
}

#[test]
fn an_invalid_history_is_an_error() {
    let directory = write(CLEAN);
    fs::write(worker(&directory, 1), "nonsense\n").expect("a file");
    let output = check(&directory, &[]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("worker-1.history: the first line is `nonsense`"),
        "{error}"
    );
}

#[test]
fn trace_shows_slices_faults_and_violations() {
    let scenario = add(&overlap(), "fault worker-stop worker=2: 12..14");
    let scenario = edit(&scenario, "20 end a=1", "18 injected leak; 20 end a=1");
    let directory = write(&scenario);
    let file = directory.path().join("trace.json");
    let path = file.display().to_string();
    let message = format!("The trace is {path}.");
    says(&check(&directory, &["--trace", &path]), 1, &[&message]);

    let text = fs::read_to_string(&file).expect("a trace");
    let events: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let of = |phase: &str, worker: u32| -> Vec<&Value> {
        let events = events.iter();
        let events = events.filter(|event| event["ph"] == phase && event["pid"] == worker);
        events.collect()
    };
    let names: Vec<_> = events.iter().filter(|event| event["ph"] == "M").collect();
    assert!(
        names
            .iter()
            .any(|event| event["args"]["name"] == "worker 2")
    );
    assert!(
        names
            .iter()
            .any(|event| event["args"]["name"] == "thread 1")
    );

    // The first call is invoked at 0, and the unit is a microsecond.
    let slices: Vec<_> = of("X", 1)
        .iter()
        .map(|slice| {
            (
                slice["name"].as_str(),
                slice["ts"].as_f64(),
                slice["dur"].as_f64(),
            )
        })
        .collect();
    let slice = |name, from: f64, to: f64| (Some(name), Some(from * 1e3), Some((to - from) * 1e3));
    assert_eq!(
        slices,
        [
            slice("transaction", 0.0, 30.0),
            slice("wait", 0.0, 10.0),
            slice("hold", 10.0, 20.0),
        ]
    );
    let call = &of("X", 1)[0]["args"];
    assert_eq!(
        (&call["locks"], &call["outcome"]),
        (&json!("a"), &json!("ok"))
    );
    assert_eq!(call["error_claims"], Value::Null);

    let instants = |worker| -> Vec<_> {
        let instants = of("i", worker).into_iter();
        instants
            .map(|event| {
                (
                    event["name"].as_str(),
                    event["s"].as_str(),
                    event["ts"].as_f64(),
                )
            })
            .collect()
    };
    let violation = (Some("violation (a) exclusive"), Some("t"), Some(10_000.0));
    let leak = (Some("leak"), Some("t"), Some(18_000.0));
    assert_eq!(instants(1), [leak, violation]);
    let stop = (Some("worker-stop"), Some("p"), Some(12_000.0));
    assert_eq!(instants(2), [stop, violation]);
    let what = of("i", 1)[1]["args"]["violation"].as_str();
    let expected = "ran under `a` for 5.000 ms while call 1";
    assert!(what.is_some_and(|what| what.contains(expected)), "{what:?}");
}
