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

mod blame;
mod character_sets;
mod clusters;
mod copies;
mod derives;
mod faults;
mod healthy_connections;
mod inspect;
mod job_queue_example;
mod key_mismatch;
mod lock_pool;
mod lock_pool_faults;
mod locked;
mod locks_example;
mod long_holds;
mod lost_in_transaction;
mod name_spellings;
mod names;
mod nesting;
mod notifications;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod observed;
mod open_transactions;
mod outcomes;
mod panics;
mod pooled;
mod processes;
mod refused_names;
mod release_failures;
mod released;
mod returned_locked;
mod round_trips;
mod server_checks;
mod session_state;
mod several;
mod stale;
mod statements;
mod support;
mod tenants;
mod transactions;
mod waits;

fn main() {
    if processes::run_as_one() {
        return;
    }
    let cases: Vec<Case> = [
        character_sets::cases(),
        blame::cases(),
        clusters::cases(),
        copies::cases(),
        derives::cases(),
        faults::cases(),
        healthy_connections::cases(),
        inspect::cases(),
        job_queue_example::cases(),
        key_mismatch::cases(),
        lock_pool::cases(),
        lock_pool_faults::cases(),
        locked::cases(),
        locks_example::cases(),
        long_holds::cases(),
        lost_in_transaction::cases(),
        name_spellings::cases(),
        names::cases(),
        nesting::cases(),
        notifications::cases(),
        #[cfg(all(feature = "tracing", feature = "metrics"))]
        observed::cases(),
        open_transactions::cases(),
        pooled::cases(),
        refused_names::cases(),
        outcomes::cases(),
        panics::cases(),
        #[cfg(all(feature = "tracing", feature = "metrics"))]
        panics::telemetry::cases(),
        release_failures::cases(),
        released::cases(),
        returned_locked::cases(),
        round_trips::cases(),
        server_checks::cases(),
        session_state::cases(),
        several::cases(),
        stale::cases(),
        statements::cases(),
        tenants::cases(),
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
