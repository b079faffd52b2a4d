//! What can be read at all.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use stress_check::history::{COORDINATOR, effects_file};
use stress_check::rules::Rule::{NothingLeft, Prompt};
use stress_check::{Run, Verdict};

use crate::story::{accepted, and, but, coordinator, rejected, worker, write};

const KILLED: &str = "
    #1 w1.1 hold a: 0 invoke; 10 granted 5; 20 end; 30 ok
    #2 w1.1 hold a: 40 invoke
    file a: begin #1; end #1
    run: 50 worker 1 killed
";

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("room");
}

#[track_caller]
fn unreadable(directory: &Path, said: &str) {
    let error = Run::read(directory).expect_err("nonsense");
    let error = format!("{error:#}");
    assert!(error.contains(said), "{error}");
}

#[test]
fn a_line_that_a_killed_process_did_not_complete_is_counted() {
    let directory = write(KILLED);
    append(&worker(&directory, 1), "7000000045000000 granted 2 5");
    let run = Run::read(directory.path()).expect("a history");
    assert_eq!((run.torn, run.ops[1].granted), (1, None));
    let verdict = Verdict::on(run);
    assert!(verdict.is_clean(), "{verdict}");
    assert!(verdict.to_string().contains("1 lines torn by a kill"));
}

#[test]
fn a_file_may_end_anywhere() {
    for text in ["", "stress-hist"] {
        let directory = write("run: 10 worker 1 killed");
        fs::write(worker(&directory, 1), text).expect("a file");
        let verdict = Verdict::on(Run::read(directory.path()).expect("a history"));
        assert!(verdict.is_clean(), "{verdict}");
    }
    // A process may have been killed before it made its file.
    accepted("run: 0 worker 1 started; 10 worker 1 killed");
    rejected(
        Prompt,
        "before it had finished",
        "run: 0 worker 1 started; 10 worker 1 exited",
    );
}

#[test]
fn nonsense_is_an_error() {
    for (text, said) in [
        ("7 granted 2 5\n", "line 7 is no event: `7 granted 2 5`"),
        ("7 frobnicate\n", "line 7 is no event"),
        ("\n", "line 7 is no event"),
        ("7 done\n", "a worker cannot have written `done`"),
        (
            "7 invoke 2 1 hold a 5 plain\n",
            "operation 2 is invoked twice",
        ),
        ("7 granted 3 5 5\n", "operation 3 was never invoked"),
        ("7 struck 3 theft\n", "operation 3 was never invoked"),
        ("7 end 3 -\n", "operation 3 was never invoked"),
        ("7 outcome 3 ok -\n", "operation 3 was never invoked"),
        ("7 granted 1 5 5\n", "the body of 1 begins twice"),
        ("7 end 2 -\n", "the body of 2 ends, but had not begun"),
        ("7 end 1 -\n", "the body of 1 ends, but had not begun"),
        (
            "7 outcome 1 ok -\n",
            "operation 1 has an outcome, but is not the innermost",
        ),
        (
            "7 granted 2 5 5\n8 outcome 2 ok -\n",
            "operation 2 has an outcome, but its body has not ended",
        ),
        (
            "7 granted 2 5 5\n8 end 2 a=x\n",
            "`a=x` is no counter with its value",
        ),
        (
            "7 granted 2 5 5\n8 end 2 a\n",
            "`a` is no counter with its value",
        ),
    ] {
        let directory = write(KILLED);
        append(&worker(&directory, 1), text);
        unreadable(directory.path(), said);
        unreadable(directory.path(), "worker-1.history");
    }
}

#[test]
fn nonsense_of_the_coordinator_is_an_error() {
    for (text, said) in [
        (
            "7 outcome 1 ok -\n",
            "the coordinator cannot have written `outcome 1 ok -`",
        ),
        ("7 over 9 done\n", "fault 9 is over, but never began"),
        ("7 begin 9 earthquake -\n", "is no event"),
    ] {
        let directory = write(KILLED);
        append(&coordinator(&directory), text);
        unreadable(directory.path(), said);
        unreadable(directory.path(), COORDINATOR);
    }
}

#[test]
fn a_file_says_what_it_is() {
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
    unreadable(directory.path(), "is no text");
}

#[test]
fn nonsense_in_a_file_of_traces_is_an_error() {
    for text in ["middle 1 1\n", "begin 1\n", "begin 1 x\n", "begin x 1\n"] {
        let directory = write(KILLED);
        append(&effects_file(directory.path(), "a"), text);
        unreadable(directory.path(), "is no effect");
    }
    let directory = write(KILLED);
    append(&effects_file(directory.path(), "a"), "begin 1");
    assert_eq!(Run::read(directory.path()).expect("a history").torn, 1);
}

#[test]
fn a_history_of_a_worker_that_was_never_started_is_an_error() {
    let directory = write(KILLED);
    fs::copy(worker(&directory, 1), worker(&directory, 7)).expect("a file");
    unreadable(
        directory.path(),
        "worker-7.history is of nobody that was started",
    );
}

#[test]
fn a_run_that_was_broken_off_is_read() {
    let story = but(
        KILLED,
        "run: 50 worker 1 killed",
        "run: 50 worker 1 lives; 51 broken off",
    );
    let story = but(&story, "#2 w1.1 hold a: 40 invoke", "");
    rejected(NothingLeft, "did not come to its end", &story);
    let directory = write(&and(&story, "fault stall: 40..never"));
    let run = Run::read(directory.path()).expect("a history");
    assert_eq!((run.done, run.faults[0].over), (false, None));
}
