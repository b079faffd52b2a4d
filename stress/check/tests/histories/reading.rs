//! Which files can be read as a history.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use stress_check::history::{COORDINATOR, effects_file};
use stress_check::rules::Rule::{NothingLeft, Prompt};
use stress_check::{Report, Run};

use crate::scenario::{accepted, add, coordinator, edit, rejected, worker, write};

const KILLED: &str = "
    #1 w1.1 hold a: 0 invoke; 10 acquired 5; 20 end; 30 ok
    #2 w1.1 hold a: 40 invoke
    file a: begin #1; end #1
    run: 50 worker 1 killed
";

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("room");
}

#[track_caller]
fn unreadable(directory: &Path, message: &str) {
    let error = Run::read(directory).expect_err("an invalid history");
    let error = format!("{error:#}");
    assert!(error.contains(message), "{error}");
}

#[test]
fn an_incomplete_last_line_is_counted_and_ignored() {
    let directory = write(KILLED);
    append(&worker(&directory, 1), "7000000045000000 acquired 2 5");
    let run = Run::read(directory.path()).expect("a history");
    assert_eq!((run.incomplete_lines, run.ops[1].acquired), (1, None));
    let report = Report::of(run);
    assert!(report.is_clean(), "{report}");
    assert!(report.to_string().contains("incomplete lines: 1."));
}

#[test]
fn a_killed_workers_file_may_be_empty_or_missing() {
    for text in ["", "stress-hist"] {
        let directory = write("run: 10 worker 1 killed");
        fs::write(worker(&directory, 1), text).expect("a file");
        let report = Report::of(Run::read(directory.path()).expect("a history"));
        assert!(report.is_clean(), "{report}");
    }
    // The process was killed before it created its file.
    accepted("run: 0 worker 1 started; 10 worker 1 killed");
    rejected(
        Prompt,
        "before it had finished",
        "run: 0 worker 1 started; 10 worker 1 exited",
    );
}

#[test]
fn an_invalid_line_of_a_worker_is_an_error() {
    for (text, message) in [
        (
            "7 acquired 2 5\n",
            "line 7 is not an event: `7 acquired 2 5`",
        ),
        ("7 frobnicate\n", "line 7 is not an event"),
        ("\n", "line 7 is not an event"),
        ("7 done\n", "a worker cannot have written `done`"),
        ("7 invoke 2 1 hold a 5 plain\n", "call 2 is invoked twice"),
        ("7 acquired 3 5 5\n", "call 3 was never invoked"),
        ("7 injected 3 theft\n", "call 3 was never invoked"),
        ("7 end 3 -\n", "call 3 was never invoked"),
        ("7 outcome 3 ok -\n", "call 3 was never invoked"),
        ("7 acquired 1 5 5\n", "the body of call 1 begins twice"),
        ("7 end 2 -\n", "the body of call 2 ends, but had not begun"),
        ("7 end 1 -\n", "the body of call 1 ends, but had not begun"),
        (
            "7 outcome 1 ok -\n",
            "call 1 has an outcome, but is not the innermost",
        ),
        (
            "7 acquired 2 5 5\n8 outcome 2 ok -\n",
            "call 2 has an outcome, but its body has not ended",
        ),
        (
            "7 acquired 2 5 5\n8 end 2 a=x\n",
            "`a=x` is not a counter with its value",
        ),
        (
            "7 acquired 2 5 5\n8 end 2 a\n",
            "`a` is not a counter with its value",
        ),
    ] {
        let directory = write(KILLED);
        append(&worker(&directory, 1), text);
        unreadable(directory.path(), message);
        unreadable(directory.path(), "worker-1.history");
    }
}

#[test]
fn an_invalid_line_of_the_coordinator_is_an_error() {
    for (text, message) in [
        (
            "7 outcome 1 ok -\n",
            "the coordinator cannot have written `outcome 1 ok -`",
        ),
        ("7 over 9 done\n", "fault 9 is over, but never began"),
        ("7 begin 9 earthquake -\n", "is not an event"),
    ] {
        let directory = write(KILLED);
        append(&coordinator(&directory), text);
        unreadable(directory.path(), message);
        unreadable(directory.path(), COORDINATOR);
    }
}

#[test]
fn a_file_of_another_format_is_an_error() {
    let directory = write(KILLED);
    fs::write(worker(&directory, 1), "stress-history 1\n").expect("a file");
    unreadable(
        directory.path(),
        "the first line is `stress-history 1`, not `stress-history 2`",
    );
    let directory = write(KILLED);
    fs::remove_file(coordinator(&directory)).expect("a file");
    unreadable(directory.path(), "cannot read");
    let directory = write(KILLED);
    fs::write(worker(&directory, 1), [0xff, b'\n']).expect("a file");
    unreadable(directory.path(), "is not UTF-8");
}

#[test]
fn an_invalid_line_of_a_locks_file_is_an_error() {
    for text in ["middle 1 1\n", "begin 1\n", "begin 1 x\n", "begin x 1\n"] {
        let directory = write(KILLED);
        append(&effects_file(directory.path(), "a"), text);
        unreadable(directory.path(), "is not an effect");
    }
    let directory = write(KILLED);
    append(&effects_file(directory.path(), "a"), "begin 1");
    let run = Run::read(directory.path()).expect("a history");
    assert_eq!(run.incomplete_lines, 1);
}

#[test]
fn a_file_of_a_worker_that_was_never_started_is_an_error() {
    let directory = write(KILLED);
    fs::copy(worker(&directory, 1), worker(&directory, 7)).expect("a file");
    unreadable(
        directory.path(),
        "worker-7.history belongs to no worker that was started",
    );
}

#[test]
fn an_aborted_run_is_read_and_rejected() {
    let scenario = edit(
        KILLED,
        "run: 50 worker 1 killed",
        "run: 50 worker 1 lives; 51 aborted",
    );
    let scenario = edit(&scenario, "#2 w1.1 hold a: 40 invoke", "");
    rejected(NothingLeft, "did not finish its checks", &scenario);
    let directory = write(&add(&scenario, "fault stall: 40..never"));
    let run = Run::read(directory.path()).expect("a history");
    assert_eq!((run.done, run.faults[0].over), (false, None));
}
