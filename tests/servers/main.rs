//! The guarantees, on real servers: every case runs on every server that `TEST_SERVERS` asks for.
//!
//! A case is a function that takes a fresh database. It stands in its module's `cases()`, or the
//! compiler calls it dead code.

use std::sync::{PoisonError, RwLock};

use libtest_mimic::{Arguments, Failed, Trial};

use support::{Case, Db, Target};

/// A case of this module, under its own name.
macro_rules! case {
    ($case:ident) => {
        $crate::support::Case::new(concat!(module_path!(), "::", stringify!($case)), $case)
    };
}

/// The cases of a module. Those that look at the clock run alone.
macro_rules! cases {
    (alone: $($case:ident),+ $(,)?) => {
        pub(crate) fn cases() -> Vec<$crate::support::Case> {
            vec![$(case!($case).alone()),+]
        }
    };
    ($($case:ident),+ $(,)?) => {
        pub(crate) fn cases() -> Vec<$crate::support::Case> {
            vec![$(case!($case)),+]
        }
    };
}

mod clusters;
mod derives;
mod faults;
mod inspect;
mod job_queue_example;
mod lock_pool;
mod lock_pool_faults;
mod locked;
mod locks_example;
mod long_holds;
mod names;
mod nesting;
mod notifications;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod observed;
mod pooled;
mod processes;
mod released;
mod round_trips;
mod server_checks;
mod several;
mod stale;
mod statements;
mod support;
mod transactions;
mod waits;

fn main() {
    if processes::run_as_one() {
        return;
    }
    let cases: Vec<Case> = [
        clusters::cases(),
        derives::cases(),
        faults::cases(),
        inspect::cases(),
        job_queue_example::cases(),
        lock_pool::cases(),
        lock_pool_faults::cases(),
        locked::cases(),
        locks_example::cases(),
        long_holds::cases(),
        names::cases(),
        nesting::cases(),
        notifications::cases(),
        #[cfg(all(feature = "tracing", feature = "metrics"))]
        observed::cases(),
        pooled::cases(),
        released::cases(),
        round_trips::cases(),
        server_checks::cases(),
        several::cases(),
        stale::cases(),
        statements::cases(),
        transactions::cases(),
        waits::cases(),
    ]
    .concat();
    let trials = Target::all()
        .into_iter()
        .flat_map(|target| {
            let cases = cases.iter().filter(move |case| case.is_for(target));
            cases.map(move |case| trial(target, *case))
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(target: Target, case: Case) -> Trial {
    let name = case.name.trim_start_matches("servers::");
    Trial::test(format!("{target}::{name}"), move || {
        // Held for writing by a case that looks at the clock, for reading by the others.
        static CLOCK: RwLock<()> = RwLock::new(());
        let _alone = case
            .alone
            .then(|| CLOCK.write().unwrap_or_else(PoisonError::into_inner));
        let _beside = (!case.alone).then(|| CLOCK.read().unwrap_or_else(PoisonError::into_inner));
        let db = Db::create(target).map_err(Failed::from)?;
        (case.run)(&db);
        Ok(())
    })
    .with_ignored_flag(case.is_ignored_on(target))
}
