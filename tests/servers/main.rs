//! The guarantees, on real servers: every case runs on every server that `TEST_SERVERS` asks for.
//!
//! A case is a function that takes a fresh database. It stands in its module's `cases()`, or the
//! compiler calls it dead code.

use libtest_mimic::{Arguments, Failed, Trial};

use support::{Case, Db, Target};

/// The cases of a module, each under its own name.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        pub(crate) fn cases() -> Vec<$crate::support::Case> {
            vec![$($crate::support::Case {
                name: concat!(module_path!(), "::", stringify!($case)),
                run: $case,
            }),+]
        }
    };
}

mod faults;
mod macros;
mod names;
mod nesting;
mod notifications;
mod pooled;
mod released;
mod stale;
mod statements;
mod support;
mod transactions;
mod waits;

fn main() {
    let cases: Vec<Case> = [
        faults::cases(),
        macros::cases(),
        names::cases(),
        nesting::cases(),
        notifications::cases(),
        pooled::cases(),
        released::cases(),
        stale::cases(),
        statements::cases(),
        transactions::cases(),
        waits::cases(),
    ]
    .concat();
    let trials = Target::all()
        .into_iter()
        .flat_map(|target| cases.iter().map(move |case| trial(target, *case)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(target: Target, case: Case) -> Trial {
    let name = case.name.trim_start_matches("servers::");
    Trial::test(format!("{target}::{name}"), move || {
        let db = Db::create(target).map_err(Failed::from)?;
        (case.run)(&db);
        Ok(())
    })
}
