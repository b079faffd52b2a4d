use std::time::Duration;

use anyhow::{Result, bail};

use super::{Load, Locker, Outcome, Watch};
use crate::rounds::excludes;

/// Takes no lock at all.
struct Careless;

impl Locker for Careless {
    fn name(&self) -> String {
        "nobody's lock".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        load.in_threads(load.threads, |thread| {
            thread.repeat(|_, turns| {
                turns.asks();
                turns.holds();
                Ok(())
            })
        })
    }
}

#[test]
fn who_excludes_nobody_is_found_out() {
    let error = excludes(&mut Careless).expect_err("counts are lost");
    assert!(error.to_string().contains("does not exclude"), "{error}");
}

#[test]
fn a_thread_that_fails_ends_the_run_for_all() {
    let load = Load {
        threads: 4,
        names: 1,
        time: Duration::from_secs(600),
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
fn each_turn_takes_one_of_the_names() {
    let load = Load {
        threads: 2,
        names: 3,
        time: Duration::from_millis(50),
        watch: Watch::Nothing,
    };
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let outcome = load.in_threads(2, |thread| {
        thread.repeat(|name, _| {
            seen.lock().expect("no panic").insert(name);
            Ok(())
        })
    });
    // The last two are of the first turns, which are before time.
    let seen: Vec<_> = seen.into_inner().expect("no panic").into_iter().collect();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    assert_eq!(outcome.expect("a run").run.counts.len(), 2);
}
