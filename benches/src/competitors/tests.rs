use std::time::Duration;

use anyhow::{Result, bail};

use super::{Competitor, Load, Outcome, Until, Watch};
use crate::interleave::check_exclusion;

struct WithoutLock;

impl Competitor for WithoutLock {
    fn name(&self) -> String {
        "without a lock".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        load.in_threads(load.threads, |thread| {
            thread.repeat(|_, recorder| {
                recorder.requested();
                recorder.acquired();
                Ok(())
            })
        })
    }
}

#[test]
fn a_competitor_without_a_lock_fails_the_exclusion_check() {
    let error = check_exclusion(&mut WithoutLock).expect_err("increments are lost");
    assert!(error.to_string().contains("does not exclude"), "{error}");
}

#[test]
fn an_error_in_one_thread_ends_the_run() {
    let load = Load {
        threads: 4,
        names: 1,
        until: Until::Elapsed(Duration::from_secs(600)),
        watch: Watch::Nothing,
    };
    let outcome = load.in_threads(4, |thread| {
        if thread.number == 2 {
            bail!("no connection");
        }
        thread.repeat(|_, _| Ok(()))
    });
    let error = outcome.err().expect("an error");
    assert_eq!(error.to_string(), "no connection");
}

#[test]
fn all_names_of_a_load_are_used() {
    let load = Load {
        threads: 2,
        names: 3,
        until: Until::Elapsed(Duration::from_millis(50)),
        watch: Watch::Nothing,
    };
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let outcome = load.in_threads(2, |thread| {
        thread.repeat(|name, _| {
            seen.lock().expect("no panic").insert(name);
            Ok(())
        })
    });
    // The last two are the names of the warm-up.
    let seen: Vec<_> = seen.into_inner().expect("no panic").into_iter().collect();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    assert_eq!(outcome.expect("a run").counts.len(), 2);
}

#[test]
fn repeated_load_runs_exactly_that_often() {
    let calls = std::sync::atomic::AtomicU64::new(0);
    let load = Load::single(Until::Repeated(7));
    let outcome = load.in_threads(1, |thread| {
        thread.repeat(|_, _| {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        })
    });
    assert_eq!(outcome.expect("a run").counts, [7]);
    // One call warms up.
    assert_eq!(calls.into_inner(), 8);
}

#[test]
fn single_thread_finishes_its_last_iteration() {
    let iteration = Duration::from_millis(30);
    let load = Load::single(Until::Elapsed(iteration / 10));
    let outcome = load.in_threads(1, |thread| {
        thread.repeat(|_, _| {
            std::thread::sleep(iteration);
            Ok(())
        })
    });
    let outcome = outcome.expect("a run");
    assert_eq!(outcome.counts, [1]);
    // Its time counts as a whole.
    assert!(outcome.seconds > (iteration / 2).as_secs_f64());
}
